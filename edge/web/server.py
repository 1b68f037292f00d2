"""The process of the page: waitress on the loopback address.

The limits answer measured weaknesses: with waitress's defaults 200 slow connections block
the page for half a minute. Rejected: gunicorn, which needs a process a worker where a
thread does.
"""

from __future__ import annotations

import signal
import socket
import sys
from typing import NoReturn

from flask import Flask
from waitress.server import BaseWSGIServer, create_server

from edge import log
from edge.bus import Speaker
from edge.config import LOOPBACK, Settings
from edge.errors import SetupError
from edge.store.files import write_durably
from edge.web import bodies
from edge.web.app import create_app, streams
from edge.web.live import Live

_MAX_HEADER_BYTES = 16 * 1024
_MAX_BODY_BYTES = 16 * 1024


def run(settings: Settings) -> int:
    """Serve the page until SIGTERM or SIGINT, and return the exit status.

    The bound port is in ``run_dir/web.port`` once the page answers.

    Raises
    ------
    SetupError
        Where the port is taken.
    """
    settings.run_dir.mkdir(parents=True, exist_ok=True)
    listening = _listening(settings.web.port)
    live, speaker = Live(settings.run_dir, streams(settings)), Speaker(settings.run_dir, "web")
    app = create_app(settings, live, speaker.wake)
    server = _server(app, listening, settings.web.threads)
    bodies.limit(server, settings.data_dir, settings.run_dir)
    # waitress ends its loop on SystemExit, and then waits for the threads that still answer.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, frame: _stop(live))
    live.start()
    port = int(listening.getsockname()[1])
    port_file = settings.run_dir / "web.port"
    write_durably(port_file, [b"%d\n" % port])
    log.event("page_ready", host=LOOPBACK, port=port)
    server.run()
    port_file.unlink(missing_ok=True)
    live.close()
    server.close()
    speaker.close()
    return 0


def _listening(port: int) -> socket.socket:
    try:
        return socket.create_server((LOOPBACK, port))
    except OSError as error:
        raise SetupError("port_in_use", port=port) from error


def _server(app: Flask, listening: socket.socket, threads: int) -> BaseWSGIServer:
    return create_server(
        app,
        sockets=[listening],
        threads=threads,
        connection_limit=500,
        channel_timeout=15,
        # Lets an event stream notice that its browser has gone.
        channel_request_lookahead=1,
        max_request_header_size=_MAX_HEADER_BYTES,
        max_request_body_size=_MAX_BODY_BYTES,
        ident=None,
    )


def _stop(live: Live) -> NoReturn:
    live.stop()
    sys.exit(0)
