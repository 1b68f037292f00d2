"""What can go wrong, each with a code, plain words, and what the operator should do.

The tree is flat on purpose: a class names who has to act (the sender of an object,
the person who set the box up, the box itself), ``code`` names the case.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from edge.types import N_, Remark, Severity


class EdgeError(Exception):
    """An error with a code, a message for the operator, and statuses for the wire.

    Parameters
    ----------
    code : short stable name, a key of the class's ``texts``.
    **values : what fills the ``%(name)s`` places of the text. Never patient data.
    """

    dicom_status: int = 0x0110  # Processing failure, PS3.4 annex B.2.3
    http_status: int = 500
    texts: Mapping[str, str] = {}
    usage: Collection[str] = ()
    """Codes of what whoever gave the command has to give or set up otherwise."""

    def __init__(self, code: str, **values: object) -> None:
        self.code = code
        self.values = {name: str(value) for name, value in values.items()}
        self.text = self.texts[code]
        super().__init__(f"{code}: {self.text % self.values}")

    @property
    def exit_status(self) -> int:
        """That of a command which ends so: 2 for wrong usage or setup, 1 for all else that was not done."""
        return 2 if self.code in self.usage else 1

    def remark(self) -> Remark:
        """The error as a remark that stops the reading."""
        return Remark(code=self.code, text=self.text, severity=Severity.STOP, values=self.values)


class UnreadableError(EdgeError):
    """An object or file that the box cannot read; it is quarantined and kept."""

    dicom_status = 0xC000  # Cannot understand, PS3.4 table B.2-1
    http_status = 422
    texts = {
        "empty_file": N_("The file is empty. Send it again."),
        "not_dicom": N_("This file is neither a DICOM object nor a picture that can be read."),
        "unopenable": N_("The file could not be opened. Check its permissions."),
        "truncated": N_("The file ends before its image does. Send it again."),
        "no_pixel_data": N_("The object holds no image."),
        "colour_image": N_("A colour picture is not a radiograph."),
        "multi_frame": N_("A sequence of %(frames)s frames is not a radiograph."),
        "too_many_frames": N_(
            "The object has %(frames)s frames of %(columns)s x %(rows)s pixels, more than the box reads."
        ),
        "inverted_ct": N_("The greys of the CT image are inverted, so that they are no Hounsfield units."),
        "image_too_large": N_("The image has %(columns)s x %(rows)s pixels; the box reads up to %(limit)s on a side."),
        "too_many_pixels": N_(
            "The image has %(columns)s x %(rows)s pixels; stored in this way, the box reads up to %(limit)s million."
        ),
        "image_too_small": N_("The image has %(columns)s x %(rows)s pixels; at least %(limit)s on a side are needed."),
        "unsupported_transfer_syntax": N_("The image is compressed in a way that the box cannot decode."),
        "undecodable": N_("The image data is damaged and could not be decoded."),
        "unsupported_object": N_("The box reads chest radiographs; this object is of another kind (%(modality)s)."),
        "conflicting_duplicate": N_("Another image with the same identifier but other content was received before."),
        "other_patient": N_("The image names a study of another patient. Check the patient at the X-ray unit."),
        "file_lost": N_("The stored file of this image is gone from the disk. Send the image again."),
        "too_deep": N_("The header of the file is nested deeper than that of any radiograph."),
        "too_many_elements": N_("The header of the file has more elements than that of any radiograph."),
        "header_too_large": N_("The header of the file is larger than %(limit)s MB."),
        "too_much_memory": N_("Reading the file needed more memory than a file may use."),
        "too_slow": N_("Reading the file took longer than a file may take."),
        "reader_crashed": N_("Reading the file stopped the program that reads files."),
    }


class SeriesError(EdgeError):
    """A study of CT slices in which nothing can be read; who sends it has to act.

    Its texts also tell why single images or series of a study are left out, and what was noticed about the slices
    that are read.

    Attributes
    ----------
    left_out : what the study holds, see ``edge.dicom.series.LeftOut``.
    """

    http_status = 422
    texts = {
        "no_slices": N_("The study holds no CT slices."),
        "only_scout": N_("The study holds scout images alone. Send the slices."),
        "only_reformats": N_("The study holds no axial slices, only other planes or pictures. Send the axial series."),
        "no_geometry": N_("The headers do not tell where the slices lie. Send the series as the CT unit made it."),
        "too_few_slices": N_("The series has slices at %(count)s places; at least %(limit)s are needed."),
        "too_many_slices": N_("The CT images of the study are more than the box can hold. Send one series alone."),
        "slices_missing": N_("%(count)s slices of the series are missing. Send it again."),
        "uneven_slices": N_("The slices of the series do not lie one behind the other at even distances."),
        "scout": N_("A scout image."),
        "no_measurement": N_("A picture or a projection, whose values measure no tissue."),
        "no_position": N_("The header does not tell where the image lies."),
        "not_axial": N_("A coronal, sagittal or oblique plane."),
        "reformat": N_("Slices that were computed from others."),
        "other_modality": N_("No CT image."),
        "mixed_series": N_("Images of the series of another size, direction or kernel."),
        "mixed_between": N_("%(count)s images between the slices that are read differ from them and were left out."),
        "other_acquisition": N_("Another acquisition of the same series was more suitable."),
        "other_series": N_("Another series of the study was more suitable."),
        "duplicate_slices": N_("Several images lie at one place; one of each was read."),
        "small_gaps": N_("%(count)s slices are missing here and there; volumes are less exact."),
        "uneven_steps": N_("The slices do not lie at even distances (%(count)s places); volumes are less exact."),
        "gantry_tilt": N_("The gantry was tilted by %(degrees)s degrees; measures allow for it."),
        "not_scaled": N_("The header does not say how values become Hounsfield units; they were taken as such."),
    }
    left_out: tuple[object, ...] = ()


class BodyError(EdgeError):
    """The body of a request is not what it should be; whoever wrote the program that sent it has to act."""

    http_status = 400
    texts = {
        "no_boundary": N_("The Content-Type of the request names no boundary of 1 to 70 characters."),
        "not_multipart": N_("The body is not multipart as RFC 2046 has it, or its boundary is another one."),
        "cut_off": N_("The body ends before its last boundary."),
        "no_part": N_("The body holds no object."),
        "too_many_parts": N_("The body holds more than %(limit)s objects."),
    }


class SourceError(EdgeError):
    """A file of a folder or a stick that cannot be taken in; it stays where it is."""

    texts = {
        "unopenable": N_("The file could not be opened. Check its permissions."),
        "too_large": N_("The file is larger than the box takes."),
        "changed": N_("The file changed while it was read."),
        "other_kind": N_("The box reads chest radiographs; this object is of another kind."),
    }


class SetupError(EdgeError):
    """Something about this machine or its configuration; the person who set it up has to act."""

    texts = {
        "unknown_setting": N_("Unknown setting %(name)s in %(path)s."),
        "bad_setting": N_("Setting %(name)s should be %(expected)s, but it is %(value)s."),
        "folders_overlap": N_(
            "The folder %(path)s (setting %(name)s) and the data folder of the box, %(data_dir)s, lie within each"
            " other. Choose another folder: the box would take in its own files."
        ),
        "config_syntax": N_("The configuration %(path)s is not valid TOML: %(problem)s."),
        "unreadable_config": N_("The configuration %(path)s cannot be read. Check its permissions."),
        "port_in_use": N_("Port %(port)s is in use by another program. Stop it or choose another port."),
        "port_forbidden": N_("Port %(port)s needs more rights than this user has. Choose a port from 1024 up."),
        "already_running": N_("Another box already runs on %(path)s."),
        "file_not_found": N_("There is no file or folder %(path)s."),
        "unreadable_folder": N_("The folder %(path)s could not be opened. Check its permissions."),
        "no_files": N_("There is no file to read."),
        "no_permission": N_("No permission to write to %(path)s."),
        "no_space": N_("There is no room on the disk for %(path)s. Make room there."),
        "no_folder": N_("%(path)s is a file, and no folder."),
        "read_only": N_("The disk of %(path)s is read-only. Check the disk, and how it is mounted."),
        "no_reader": N_("The process that reads files does not start. Run chest-edge doctor."),
        "examples_missing": N_("The example studies are not installed. Install the package pydicom-data."),
        "bad_time": N_("%(value)s is no time. Write it as in 2026-11-24 17:00."),
        "clock_forbidden": N_("Only an administrator may set the clock of this machine. Run the command with sudo."),
        "other_user": N_("%(path)s belongs to another user. Run this as the user that the box runs as."),
        "bad_certificates": N_("A certificate or key below %(path)s is damaged. Restore the folder from a backup."),
        "bad_certificate_name": N_("The name %(name)s should be letters, digits, dots, dashes and underscores (63)."),
        "certificate_exists": N_("A certificate for %(name)s exists. Revoke it first, or choose another name."),
        "certificate_unknown": N_("No certificate was issued to %(name)s."),
        "empty_passphrase": N_("The file %(path)s has no passphrase in its first line."),
        "no_terminal": N_("There is no terminal to ask for the passphrase. Give --passphrase-file FILE."),
        "passphrases_differ": N_("The two passphrases differ."),
        "no_public_key": N_("The file %(path)s holds no public key of a box, as chest-edge receipt key prints it."),
        "no_receipt_key": N_("This box has signed no receipt yet. Name the public key of the box that did with --key."),
        "no_qr_code": N_(
            "No QR code could be read in the picture %(path)s. Take it straight from above, in good light."
        ),
        "no_json": N_("The file %(path)s is not JSON."),
        "path_too_long": N_("The path %(path)s is too long for a socket (%(limit)s characters at most)."),
    }
    usage = texts


class BackupError(EdgeError):
    """A backup that could not be made or put back; the person who asked for it has to act."""

    usage = ("short_passphrase", "not_empty", "exists")
    texts = {
        "short_passphrase": N_("The passphrase needs at least %(limit)s characters."),
        "exists": N_("The file %(path)s exists already. Give the backup another name."),
        "no_room": N_("Not enough room at %(path)s: the backup needs %(needed)s MB."),
        "backup_failed": N_("The backup %(path)s could not be written: %(problem)s."),
        "not_read_back": N_("What was written to %(path)s does not read back as it was. Use another stick."),
        "not_a_backup": N_("The file %(path)s is not a backup of this box."),
        "unopenable": N_(
            "The backup cannot be opened: wrong passphrase, or the file is damaged or cut off. Nothing was changed."
        ),
        "newer": N_("The backup was made by a newer version of the software. Update this box first."),
        "not_empty": N_("The folder %(path)s already holds a box. Use --force to replace it."),
    }


class ModelError(EdgeError):
    """A model that must not be used; the box has to be repaired or updated."""

    http_status = 503
    texts = {
        "model_missing": N_("The model file of %(model)s is missing. Install the box again."),
        "model_hash_mismatch": N_("The model file of %(model)s is not the one that was tested. Install the box again."),
        "model_unknown": N_("No model named %(model)s is registered."),
        "registry_broken": N_("The list of models is damaged. Install the box again."),
        "threshold_mismatch": N_("The thresholds of %(model)s belong to another model file."),
        "model_broken": N_("The model %(model)s cannot be run on this machine."),
    }


class ReadingError(EdgeError):
    """A study that was accepted but could not be read to the end; a person reads it."""

    texts = {
        "reading_failed": N_("The box could not finish reading this study. Have a person read it."),
        "stage_failed": N_("One step of the reading failed; its part of the result is missing."),
        "reading_crashed": N_("Reading this study stopped the box twice, so it was set aside. Have a person read it."),
        "reading_outages": N_(
            "The box went down %(count)s times while it read this study, so it was set aside. Have a person read it."
        ),
        "out_of_memory": N_(
            "Reading this study needed more memory than the box has, twice, so it was set aside. Have a person read it."
        ),
        "stage_timeout": N_(
            "A step of the reading (%(stage)s) did not end in time, twice, so the study was set aside."
            " Have a person read it."
        ),
    }


class ObjectError(EdgeError):
    """A result that cannot leave the box as a DICOM object; whoever set the X-ray unit up has to look."""

    texts = {
        "bad_study_uid": N_(
            "The image has no valid Study Instance UID, so that a PACS could not file the result. Check the X-ray unit."
        ),
        "bad_image_uid": N_(
            "The image has no valid Series or SOP Instance UID, so that no object can refer to it."
            " Check the X-ray unit."
        ),
        "no_header": N_("A picture has no DICOM header, so that no object can be made of its result."),
        "no_picture": N_("The picture of this reading is gone from the disk, so that it cannot be sent."),
        "too_large": N_("The image has more than %(limit)s million pixels, too many for a segmentation."),
        "other_size": N_("The header names another size than the image has, so that no mark can be laid over it."),
        "no_place": N_("A slice is gone or does not say where it lies, so that no segment can be laid over it."),
        "nothing_to_show": N_("The result has nothing that an object of this kind could show."),
    }


class SendError(EdgeError):
    """A destination that did not take an object as it should; whoever runs it has to look.

    ``text`` names the destination as the settings do. Its own words are kept apart from it: they may name a patient.
    """

    http_status = 502
    texts = {
        "class_refused": N_(
            "%(peer)s takes no objects of this kind. Allow them there, or take the kind from its objects in the"
            " settings."
        ),
        "object_refused": N_("%(peer)s refuses the object (%(status)s)."),
        "object_failed": N_("%(peer)s could not store the object (%(status)s). It is sent again."),
        "broke_off": N_("%(peer)s broke off while the object was sent. It is sent again."),
        "stored_with_warning": N_("%(peer)s stored the object with a warning (%(status)s)."),
        "had_it_already": N_("%(peer)s has had the object already."),
        "no_room": N_("%(peer)s has no room (%(status)s). Make room there; the box tries again."),
        "unreachable": N_("%(peer)s cannot be reached. Check that it runs, its address, and TLS on both sides."),
        "nothing_accepted": N_("%(peer)s accepts nothing that the box offers. Allow the box to store there."),
        "busy": N_("%(peer)s is busy (%(status)s). The box tries again."),
        "unauthorized": N_("%(peer)s does not let the box in (%(status)s). Check the credential in the settings."),
        "redirected": N_("%(peer)s sends the box to another address (%(status)s). Enter the right one as its url."),
        "not_dicomweb": N_("%(peer)s does not answer as DICOMweb does (%(status)s). Check its url in the settings."),
        "bad_credential": N_("The credential of %(peer)s cannot be read. Check the file that the settings name."),
        "bad_authority": N_("The certificate file of %(peer)s cannot be read. Check its ca in the settings."),
        "no_commitment": N_("%(peer)s offers no storage commitment: stored is all that it confirms."),
        "commitment_refused": N_("%(peer)s could not be asked for a commitment (%(status)s). It is asked again."),
        "commitment_late": N_("%(peer)s has not confirmed that it keeps the object. It is asked again."),
        "commitment_denied": N_("%(peer)s had stored the object and does not keep it (%(status)s)."),
        "not_made": N_("The box could not make the object of this result."),
    }

    def __init__(self, code: str, *, wait_s: float = 0.0, **values: object) -> None:
        super().__init__(code, **values)
        self.wait_s = wait_s
        """Seconds for which the destination asked to be left alone."""


class ExportError(EdgeError):
    """A study that may not leave the box without its patient; the person who asked for it has to act."""

    usage = ("not_empty", "unknown_study")
    texts = {
        "unknown_study": N_("There is no study %(study_key)s. Its key is the last part of its page's address."),
        "no_image": N_("The study has no image that could be exported. Wait until it has been read."),
        "not_empty": N_("The folder %(path)s is not empty. Name a new one."),
        "not_a_radiograph": N_("An image of the study is no radiograph. Nothing was exported."),
        "burned_in": N_(
            "A name may be burnt into an image: its header does not say otherwise, or it was scanned or captured."
            " Look at each image in full size. If none shows a name, a number or a date, add --burned-in-checked."
            " Nothing was exported."
        ),
        "no_room": N_("A copy of an image could not be written: the disk is full. Nothing was exported."),
        "odd_table": N_("A table of greys of an image rises and falls, and may hold anything. Nothing was exported."),
    }


class StatedAgeError(EdgeError):
    """An age that cannot be taken now; whoever entered it has to act."""

    http_status = 409
    texts = {
        "being_read": N_("The study is being read at this moment. Wait for the result, then enter the age."),
        "no_reading": N_("This study has no reading that an age could change."),
        "age_in_header": N_("The image itself tells the patient's age; the box goes by that one."),
    }


class BadAgeError(EdgeError):
    """What was entered as an age is none."""

    http_status = 400
    texts = {
        "bad_age": N_("The age must be a whole number of years from 0 to %(limit)s; 0 for a baby under one year."),
    }


class PictureError(EdgeError):
    """A picture that a page asked for and that the box cannot show."""

    http_status = 404
    texts = {
        "no_picture": N_("There is no such picture on the box, or its file is damaged."),
    }


class StorageError(EdgeError):
    """The box cannot store; the sender should try again later."""

    dicom_status = 0xA700  # Out of resources, PS3.4 table B.2-1
    http_status = 507
    texts = {
        "disk_full": N_("The disk is full. Make room on it."),
        "no_room": N_("The box is full and takes no more images. Make room on its disk."),
        "database": N_("The database could not be read or written. Check its permissions and the disk."),
        "no_database": N_("There is no database. Start the box, which makes it from the stored images."),
        "damaged": N_("The database is damaged. The box makes it anew from the stored images."),
        "write_failed": N_("The disk could not be written."),
        "read_only": N_("The disk is read-only. Check the disk, and how it is mounted."),
        "forbidden": N_(
            "The box may not write to its own folders. Give its data folder, with all that lies in it, to the user"
            " that the box runs as."
        ),
    }


class PeerError(EdgeError):
    """A PACS or a worklist that did not do what the box asked; whoever runs it has to look.

    ``retriable`` tells whether asking again later can help. What the other side says of its
    failure is left out: it may name a patient.
    """

    http_status = 502
    usage = ("no_pacs", "bad_number")
    texts = {
        "unreachable": N_("%(peer)s cannot be reached. Check that it runs, its address, and TLS on both sides."),
        "refused": N_("%(peer)s refuses the box. Enter the AE title %(ae_title)s of the box there."),
        "not_offered": N_("%(peer)s does not offer what the box asked for. Allow the box to query and retrieve there."),
        "no_answer": N_("%(peer)s stopped answering. Try again later."),
        "peer_failed": N_("%(peer)s could not do what the box asked for (status %(status)s)."),
        "incomplete": N_("%(count)s images did not come from %(peer)s. Try again later."),
        "too_much": N_("%(peer)s sent more than the box takes at once."),
        "not_asked": N_("%(peer)s sent %(count)s images that the box had not asked for; they were refused."),
        "nothing_found": N_("%(peer)s has no such study."),
        "several_found": N_("%(peer)s has %(count)s such studies. Name one by its Study Instance UID."),
        "bad_number": N_("This is no identifier that one study can have."),
        "no_pacs": N_("No PACS is set up. Enter its host as pacs.host in the settings."),
    }

    @property
    def retriable(self) -> bool:
        """Whether the same request may succeed later."""
        return self.code not in {"not_offered", "too_much", "not_asked", "nothing_found"}
