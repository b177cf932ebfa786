"""Turn what readers raise, or only log, about a damaged file into one sentence."""

from __future__ import annotations

import logging
import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from napari_integrated_cell.imaging.choices import MissingInput, UnsupportedImage

# tifffile only logs these problems and returns fewer or empty planes. They must be errors here.
_DAMAGED = re.compile(
    r"invalid (page offset|next page|offset to (first )?page)|corrupted (file|tag list)"
    r"|TiffTag (256|257|258|259|262|270|273|277|278|279|317|322|323|324|325|339) .*(invalid value offset|raised)"
)
# A filter applies to one logger only, not to its children.
_LOGGERS = (
    *("tifffile", "tifffile.tifffile"),
    *("aicsimageio.aics_image", "aicsimageio.readers.tiff_reader"),
    *("bioio.bio_image", "bioio_tifffile.reader", "bioio_ome_tiff.reader", "bioio_lif.reader"),
)


class _OpenReports(threading.local):
    """What was logged in each :func:`one_sentence_about` that this thread is in, the innermost last."""

    def __init__(self) -> None:
        self.lists: list[list[str]] = []


_reports = _OpenReports()


class DamagedFile(ValueError):
    """A file that cannot be read. The message names it, so it passes through the sentence about another file."""


@contextmanager
def one_sentence_about(path: Path) -> Iterator[None]:
    """Hide the readers' log and warnings; raise what they raise or log about a damaged file as one sentence.

    Raises
    ------
    DamagedFile
        If anything goes wrong inside, except for :class:`MissingInput`, :class:`UnsupportedImage` and
        FileNotFoundError, which pass, as does the sentence about another file.
    """
    with _damage_reports() as damage:
        try:
            yield
        except (MissingInput, UnsupportedImage, FileNotFoundError, DamagedFile):
            raise
        except PermissionError:
            raise DamagedFile(f"{path.name} may not be read: change its permissions or copy it.") from None
        except MemoryError:
            raise DamagedFile(f"{path.name} does not fit into memory: crop it, or read it lazily.") from None
        except Exception as error:  # format libraries raise errors of any class
            said = " ".join(str(error).split())[:120] or type(error).__name__
            raise DamagedFile(
                f"{path.name} could not be read ({said}): it is damaged, cut short or not of the kind its name says, "
                "so copy or export it again."
            ) from error
    if damage:
        raise DamagedFile(
            f"{path.name} is damaged or cut short ({damage[0][:120]}): copy or export it again."
        )


@contextmanager
def _damage_reports() -> Iterator[list[str]]:
    damage: list[str] = []
    this_thread = threading.get_ident()
    lists = _reports.lists
    lists.append(damage)

    class LogFilter(logging.Filter):
        def filter(self, record: logging.LogRecord) -> bool:
            if record.thread != this_thread or lists[-1] is not damage:
                return True
            message = record.getMessage()
            if _DAMAGED.search(message):
                damage.append(re.sub(r"<[^>]*>\s*", "", message) or message)
            return False

    log_filter = LogFilter()
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    for logger in loggers:
        logger.addFilter(log_filter)
    try:
        # Python's warnings filters are those of the process: another thread must not change them.
        main = threading.current_thread() is threading.main_thread()
        with warnings.catch_warnings() if main else nullcontext():
            if main:
                warnings.simplefilter("ignore")
            yield damage
    finally:
        lists.pop()
        for logger in loggers:
            logger.removeFilter(log_filter)
