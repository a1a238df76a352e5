"""A run: explain, draw, write; the manifest last."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ppdet_cam.errors import OutputError
from ppdet_cam.explaining.altering import Progress, silent
from ppdet_cam.images.inputs import ImageFile
from ppdet_cam.images.reading import read_image
from ppdet_cam.outputs.files import check_output_folder, remove_unfinished, write_atomically
from ppdet_cam.outputs.locks import ARE_KEPT, is_taken, take
from ppdet_cam.outputs.manifest import IMAGES_FILE, RUN_FILE, encode_document, encode_line, files_of, listed_files
from ppdet_cam.outputs.merging import Failure, Tally
from ppdet_cam.outputs.resume import REPORT_FILE, find_earlier_run, is_single, read_lines, remove_run
from ppdet_cam.outputs.sharding import Rank, rank_of
from ppdet_cam.outputs.video import check_may_write_video, write_video
from ppdet_cam.render import choose_font
from ppdet_cam.running.config import RunConfig
from ppdet_cam.running.drawing import Job, Workers, draw_image
from ppdet_cam.running.many import Bar, NoBar, explain_many
from ppdet_cam.running.noticing import Noticing
from ppdet_cam.running.session import Session, open_session
from ppdet_cam.structures import Frame

_STAGED = ".cam-"
_STAGED_NAME = re.compile(re.escape(_STAGED) + "[a-z0-9_]{8}")  # as tempfile completes it


@dataclass(frozen=True)
class Result:
    """What a run wrote.

    Attributes:
        totals: of the run; of this process's images when the run goes on in others, or was stopped.
        document: the content of `run.json`, None when it is not written yet.
        image: the line of `images.jsonl` of a single image; None for a run over several.
        failures: the first of the images that failed.
        warnings: the first of the images that something is amiss with.
        left: how many of this process's images are not done.
        rank: which part of the run was this process's.
        stopped_by: the signal that stopped it, 0 for none.
        did: how many images this process explained, or tried to.
    """

    totals: Mapping[str, object]
    document: Mapping[str, object] | None
    image: Mapping[str, object] | None = None
    failures: Sequence[Failure] = ()
    left: int = 0
    rank: Rank = Rank()
    stopped_by: int = 0
    did: int = 1
    warnings: Sequence[Failure] = ()


def run(
    config: RunConfig,
    *,
    progress: Progress = silent,
    bar: Bar | None = None,
    environment: Mapping[str, str] = os.environ,
) -> Result:
    """Explains the images of one run, writes their files and the manifest, and returns what it wrote.

    A single image's files are made in a hidden folder beside their places and moved when all are there, so a run that
    fails leaves the folder as it was. Files of an earlier run of a single image make room for this one's; other files
    are never touched. For runs over several images see `ledger`.

    Args:
        config: what to do.
        progress: shows how far a perturbation method is, for a single image.
        bar: shows how far a run over several images is.
        environment: says which rank of how many this process is.

    Raises:
        PpdetCamError: any of its kinds; then nothing is left half-written.
    """
    started = time.perf_counter()
    rank = rank_of(environment, config.shard)
    choose_font(config.font)
    _check_may_show(config)
    if config.inputs.is_single:
        # one image needs one rank
        return (
            _explain_single(config, progress) if rank.index == 0 else Result(Tally().totals(seconds=0.0), None, did=0)
        )
    outcome = explain_many(config, rank, bar or NoBar())
    totals = outcome.tally.totals(seconds=time.perf_counter() - started)
    if outcome.document is not None:
        _show(config)
        totals = outcome.document["totals"]  # type: ignore[assignment]
    left = outcome.share - outcome.tally.images if outcome.document is None else 0
    return Result(
        totals,
        outcome.document,
        None,
        outcome.tally.failures,
        left,
        rank,
        outcome.signal,
        outcome.did,
        outcome.tally.warnings,
    )


def _explain_single(config: RunConfig, progress: Progress) -> Result:
    started = time.perf_counter()
    (path,) = config.inputs.images
    check_output_folder(config.cam_out)
    frame = read_image(path, strict=config.strict_images)
    _check_may_replace(config, frame)
    image = ImageFile(str(frame.path), "")
    session = open_session(config, [image], progress=progress)
    record, document = _explain_image(config, session, image, frame, started=started)
    _show(config)
    tally = Tally()
    tally.add(record)
    return Result(document["totals"], document, record, warnings=tally.warnings)  # type: ignore[arg-type]


def _show(config: RunConfig) -> None:
    """Writes what shows a finished run, as far as it was asked for: the report, the log for VisualDL."""
    if config.report:
        from ppdet_cam.report import write_report  # here, as few runs need it

        write_report(config.cam_out, config.lang)
    if config.inputs.video is not None:
        _write_video(config.cam_out)
    if config.vdl_log_dir is not None:
        from ppdet_cam.report.vdl import write_vdl_log  # the same

        write_vdl_log(config.cam_out, config.vdl_log_dir)


def _write_video(cam_out: Path) -> None:
    earlier = find_earlier_run(cam_out)
    inputs = earlier.document.get("inputs") if earlier else None
    video: Mapping[str, float] = inputs["video"] if isinstance(inputs, dict) else {}
    write_video(cam_out, video["fps"] / video["interval"])


def _check_may_show(config: RunConfig) -> None:
    """Raises PpdetCamError when the log or video that was asked for cannot be written."""
    if config.inputs.video is not None:
        check_may_write_video(config.cam_out)
    if config.vdl_log_dir is not None:
        from ppdet_cam.report.vdl import check_vdl_log  # as above

        check_vdl_log(config.vdl_log_dir, config.cam_out)


def _explain_image(
    config: RunConfig, session: Session, image: ImageFile, frame: Frame, *, started: float
) -> tuple[dict[str, object], dict[str, object]]:
    """Writes one image's files in the place of an earlier run's; returns its line and the content of `run.json`."""
    cam_out, begun = config.cam_out, time.perf_counter()
    annotated = session.truth.of(image, frame.original_hw) if session.truth else None
    stream = session.explainer.stream(
        frame,
        true_boxes=annotated.true_boxes if annotated else (),
        keep_levels="panel" in config.output.kinds,
    )
    with _staging_folder(cam_out) as staged:
        with Workers(config.workers) as workers:
            draft = draw_image(
                stream,
                Job(config.output, workers),
                path=image.path,
                name=image.name,
                folder=staged,
                started=begun,
                annotated=annotated,
                noticed=Noticing(),
            )
            record = draft.record()
        tally = Tally()
        tally.add(record)
        document = {**session.document, "totals": tally.totals(seconds=time.perf_counter() - started)}
        write_atomically(staged / IMAGES_FILE, encode_line(record))
        write_atomically(staged / RUN_FILE, encode_document(document))
        _replace_earlier_run(cam_out, staged, files_of(record), spared=frame.path)
    return record, document


def _check_may_replace(config: RunConfig, frame: Frame) -> None:
    """Raises OutputError when an image's files cannot take the place of what is in the output folder.

    An earlier run of the same image makes room for this one: asking otherwise about an image is what one does all day.
    """
    if find_earlier_run(config.cam_out) is None or config.overwrite:
        return
    others = "several images"
    if is_single(config.cam_out):
        earlier = [line.record.get("path") for line in read_lines(config.cam_out)]
        if not earlier or earlier[0] is None or _is_same_image(str(earlier[0]), frame):
            return
        others = f"another image, {earlier[0]}"
    raise OutputError(
        f"{config.cam_out} holds a run over {others}. --overwrite replaces it; or choose another --cam_out"
    )


def _is_same_image(path: str, frame: Frame) -> bool:
    return path == str(frame.path) or (frame.path is not None and _is_same_file(Path(path), frame.path))


@contextlib.contextmanager
def _staging_folder(cam_out: Path) -> Iterator[Path]:
    """Yields a new hidden folder in `cam_out`, and takes it away at the end; `cam_out` too, if it is still empty."""
    # os.path answers False where pathlib raises: a name too long
    made = [folder for folder in (cam_out, *cam_out.parents) if not os.path.exists(folder)]
    try:
        try:
            cam_out.mkdir(parents=True, exist_ok=True)
            _remove_unfinished(cam_out)
            staged = Path(tempfile.mkdtemp(dir=cam_out, prefix=_STAGED))
        except OSError as error:
            raise OutputError(f"cannot write into {cam_out}: {error.strerror}. Choose another --cam_out") from error
        try:
            with _taken(staged):
                yield staged
        finally:
            shutil.rmtree(staged, ignore_errors=True)
    finally:
        for folder in made:  # the deepest first
            with contextlib.suppress(OSError):  # not empty: the run was successful, or others write there as well
                folder.rmdir()


@contextlib.contextmanager
def _taken(folder: Path) -> Iterator[None]:
    """Shows other processes that this one is at work in a folder."""
    if not ARE_KEPT:
        yield
        return
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise OutputError(f"cannot write into {folder.parent}: {error.strerror}. Choose another --cam_out") from error
    try:
        take(descriptor)
        yield
    finally:
        os.close(descriptor)


def _remove_unfinished(cam_out: Path) -> None:
    """Removes what runs of a single image left that were killed."""
    remove_unfinished(cam_out)
    for entry in os.listdir(cam_out) if ARE_KEPT else ():
        if _STAGED_NAME.fullmatch(entry) and not is_taken(cam_out / entry):
            shutil.rmtree(cam_out / entry, ignore_errors=True)


def _replace_earlier_run(cam_out: Path, staged: Path, files: Sequence[str], *, spared: Path | None) -> None:
    """Moves what was staged to its place and removes the earlier run's files.

    The order lets a later run tidy up after one that was killed here: each file in the folder is listed in the
    `images.jsonl` beside it at every moment, and `run.json` is not there.

    Args:
        cam_out: the folder of both runs.
        staged: holds the files, `images.jsonl` and `run.json`.
        files: names of this run's files.
        spared: the image that was explained, which may lie in `cam_out`.

    Raises:
        OutputError: a file that no run wrote has a file's name, or the files cannot be moved.
    """
    single = is_single(cam_out)
    earlier = {name for name in listed_files(cam_out) if single and "/" not in name}
    earlier -= {name for name in earlier if spared is not None and _is_same_file(cam_out / name, spared)}
    for name in files:
        if name not in earlier and (cam_out / name).exists():
            raise OutputError(
                f"{cam_out / name} is not of an earlier run and would be replaced. Move it, or choose another --cam_out"
            )
    try:
        if not single:
            remove_run(cam_out)
        for name in [RUN_FILE, *_stale_report(cam_out), *sorted(earlier.difference(files))]:
            (cam_out / name).unlink(missing_ok=True)
        for name in [IMAGES_FILE, *files, RUN_FILE]:
            (staged / name).replace(cam_out / name)
    except OSError as error:
        raise OutputError(
            f"cannot replace the earlier run in {cam_out}: {error.strerror} ({error.filename}). "
            "Choose another --cam_out"
        ) from error


def _stale_report(cam_out: Path) -> list[str]:
    """Returns the name of the report that the earlier run wrote, if it wrote one."""
    earlier = find_earlier_run(cam_out)
    flags = earlier.document.get("flags") if earlier else None
    return [REPORT_FILE] if isinstance(flags, dict) and flags.get("report") else []


def _is_same_file(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False
