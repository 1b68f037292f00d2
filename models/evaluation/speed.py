"""How fast the box reads: ``python -m models.evaluation.speed``.

One real radiograph of 1955 x 1841 pixels (RG1 of ``pydicom-data``) goes through the child
process and every stage, many times. The FP32 networks are the shipped ones with their
quantizers taken out; both precisions take turns within one run, so that the noise of the
machine falls on both.
"""

from __future__ import annotations

import argparse
import resource
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx

from edge import clock
from edge.config import EngineSettings, Settings
from edge.dicom.reader import Reader
from edge.engines import registry
from edge.engines.engine import Engine
from edge.engines.ort import OrtEngine
from edge.pipeline.runner import RADIOGRAPH_STAGES, run
from edge.stages.radiograph.case import first_case
from edge.types import Radiograph
from models.evaluation.cost import network_s
from models.evaluation.readings import engines


def main() -> None:
    """Measure and print a table: median and 95th percentile in milliseconds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=30)
    parser.add_argument("--file", type=Path, default=None, help="a DICOM file instead of RG1")
    parser.add_argument("--threads", type=int, default=Settings().engine.threads, help="of each network")
    given = parser.parse_args()
    path = given.file or _example()
    with Reader() as reader:
        radiograph = reader.read(path).radiograph
        times = _measure(lambda: reader.read(path).radiograph, radiograph, given.repeat, given.threads)
    _print(times, radiograph, given.threads)


def _example() -> Path:
    import data_store

    return Path(data_store.__file__).parent / "data" / "RG1_UNCR.dcm"


def _measure(
    read: Callable[[], Radiograph], radiograph: Radiograph, repeat: int, threads: int
) -> dict[str, list[float]]:
    shipped = engines(settings=Settings(engine=EngineSettings(threads=threads)))
    fp32 = {name: _exact(engine, threads) for name, engine in shipped.items()}
    times: dict[str, list[float]] = {}
    for turn in range(repeat + 2):
        kept = times if turn >= 2 else {}  # the first turns warm up
        for precision, by_model in (("shipped", shipped), ("FP32", fp32)):
            started = clock.monotonic()
            _, stages = run(first_case(radiograph), by_model, RADIOGRAPH_STAGES)
            kept.setdefault(f"{precision} all stages", []).append(clock.monotonic() - started)
            for stage in stages:
                kept.setdefault(f"{precision} {stage.stage}", []).append(stage.seconds)
            for name, engine in by_model.items():
                kept.setdefault(f"{precision} network {name}", []).append(network_s(engine))
        started = clock.monotonic()
        read()
        kept.setdefault("file to pixels", []).append(clock.monotonic() - started)
    return times


def _exact(engine: Engine, threads: int) -> Engine:
    """The same network in floating point: activations unquantized, weights as they are."""
    proto = onnx.load_model_from_string(registry.verified_bytes(engine.card))
    source = {n.output[0]: n.input[0] for n in proto.graph.node if n.op_type == "QuantizeLinear"}
    dequantized = {
        n.output[0]: source[n.input[0]]
        for n in proto.graph.node
        if n.op_type == "DequantizeLinear" and n.input[0] in source
    }
    kept = [n for n in proto.graph.node if n.output[0] not in source and n.output[0] not in dequantized]
    for node in kept:
        node.input[:] = [dequantized.get(name, name) for name in node.input]
    outputs = [dequantized.get(output.name, output.name) for output in proto.graph.output]
    del proto.graph.node[:]
    proto.graph.node.extend(kept)
    for output, name in zip(proto.graph.output, outputs, strict=True):
        output.name = name
    return OrtEngine(engine.card, proto.SerializeToString(), threads)


def _print(times: dict[str, list[float]], radiograph: Radiograph, threads: int) -> None:
    rows, columns = radiograph.pixels.shape
    out = sys.stdout
    out.write(f"radiograph of {columns} x {rows} pixels, {threads} threads\n")
    out.write(f"{'':36}{'median ms':>10}{'p95 ms':>10}\n")
    for name, values in times.items():
        out.write(f"{name:36}{1000 * np.median(values):10.1f}{1000 * np.quantile(values, 0.95):10.1f}\n")
    total = np.median(times["shipped all stages"]) + np.median(times["file to pixels"])
    ratio = np.median(times["FP32 all stages"]) / np.median(times["shipped all stages"])
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    out.write(f"images a second, file to result: {1 / total:.1f}\n")
    out.write(f"as shipped {ratio:.2f} times as fast as in FP32 (all stages)\n")
    out.write(f"peak resident memory: {peak_mib:.0f} MiB\n")


if __name__ == "__main__":
    main()
