"""Read OME-XML that need not be valid: what is sound is kept, and the rest is left out."""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from xml.etree import ElementTree

_ELEMENTS = ("OME", "BinaryOnly", "Image", "Pixels", "Channel", "TiffData", "UUID")
_TAG = re.compile(r"<(?:\w+:)?(" + "|".join(_ELEMENTS) + r")\b([^<>]*)>([^<]*)")
_UUID = re.compile(r"<(?:\w+:)?OME\b[^<>]*?\sUUID\s*=\s*[\"']([^\"'<>]*)")
_ATTRIBUTE = re.compile(r"(?:\w+:)?(\w+)\s*=\s*(?:\"([^\"<>]*)\"|'([^'<>]*)')")
# Any two of these tell OME-XML, also if one is damaged.
_SIGNS = re.compile(
    r"<\?xml|<(?:\w+:)?OME\b|</(?:\w+:)?OME>|openmicroscopy\.org|<(?:\w+:)?Pixels\b|</(?:\w+:)?Pixels>"
    r"|<(?:\w+:)?Image\b|</(?:\w+:)?Image>|\bDimensionOrder=|\bSize[CTZYX]="
)
#: Every larger number is read as this one.
LARGEST = 10**12
_ORDERS = ("XYZCT", "XYZTC", "XYCTZ", "XYCZT", "XYTCZ", "XYTZC")


@dataclass(frozen=True)
class PlaneBlock:
    """A ``TiffData`` element: ``count`` pages of a file, from page ``ifd``, are planes from ``first`` on."""

    ifd: int | None
    count: int | None
    first: Mapping[str, int]
    uuid: str = ""
    file: str = ""


@dataclass
class OmeImage:
    """An ``Image`` element.

    Attributes
    ----------
    order : str
        The axes of the planes, fastest first ("ZCT"); empty if it is not sound.
    sizes : dict of str to int
        Only the sound ones of X, Y, Z, C, T.
    physical : dict of str to (text, unit)
        What is stated about the voxel's edges along Z, Y, X.
    interval : (text, unit)
        What is stated about the time between time points.
    channels : list of (name, samples)
    """

    name: str = ""
    order: str = ""
    sizes: dict[str, int] = field(default_factory=dict)
    physical: dict[str, tuple[object, str | None]] = field(default_factory=dict)
    interval: tuple[object, str | None] = (None, None)
    channels: list[tuple[str, int]] = field(default_factory=list)
    planes: list[PlaneBlock] = field(default_factory=list)


@dataclass
class OmeXml:
    """OME metadata.

    Attributes
    ----------
    uuid : str
        Of the file that holds them.
    metadata_file : str
        The file that has the metadata, if it is not the image itself.
    damage : str
        Why the text is no XML, or "".
    program : str
        Whose metadata they are, if another program's were brought into this form.
    """

    uuid: str = ""
    images: list[OmeImage] = field(default_factory=list)
    metadata_file: str = ""
    damage: str = ""
    program: str = "OME"


def looks_like_ome(text: str) -> bool:
    """Return whether a text is OME-XML, also if some of it is damaged."""
    return len({match.group() for match in _SIGNS.finditer(text[:5000] + text[-200:])}) >= 2


def uuid_in(text: str) -> str:
    """Return the UUID that OME-XML gives to its own file, or "". The rest of the text is not read."""
    found = _UUID.search(text[:5000])
    return bare_uuid(found.group(1)) if found else ""


def bare_uuid(text: str) -> str:
    """Return a UUID in the form in which two can be compared."""
    return text.strip().casefold().removeprefix("urn:uuid:")


def read_ome_xml(text: str) -> OmeXml:
    """Read OME-XML of any schema. Damaged text gives what can still be found in it, and ``damage``."""
    ome = OmeXml()
    text = text.strip().strip("\0").strip()
    try:
        # The text is decoded, so what the declaration says about its encoding is no longer true.
        root = ElementTree.fromstring(re.sub(r"^<\?xml[^>]*\?>", "", text))
        elements = _elements(root)
    except (ElementTree.ParseError, ValueError) as error:
        ome.damage = str(error)
        elements = _found(text)
    for element, attributes, content in elements:
        _take(ome, element, attributes, content)
    return ome


def _elements(root: ElementTree.Element) -> Iterator[tuple[str, dict[str, str], str]]:
    """Yield the elements that matter in order. What an annotation holds is no image."""
    name = _local(root.tag)
    if name in _ELEMENTS:
        yield name, {_local(key): value for key, value in root.attrib.items()}, (root.text or "").strip()
    if name != "StructuredAnnotations":
        for child in root:
            yield from _elements(child)


def _found(text: str) -> Iterator[tuple[str, dict[str, str], str]]:
    for match in _TAG.finditer(text):
        given = [(m.group(1), m.group(2) or m.group(3) or "") for m in _ATTRIBUTE.finditer(match.group(2))]
        times = Counter(name for name, _ in given)
        # One of two attributes with one name has a damaged name.
        attributes = {name: html.unescape(value) for name, value in given if times[name] == 1}
        yield match.group(1), attributes, html.unescape(match.group(3)).strip()


def _local(tag: object) -> str:
    return str(tag).rsplit("}", 1)[-1]


def _take(ome: OmeXml, element: str, given: Mapping[str, str], content: str) -> None:
    if element == "OME":
        ome.uuid = given.get("UUID", "")
    elif element == "BinaryOnly":
        ome.metadata_file = given.get("MetadataFile", "")
    elif element == "Image":
        ome.images.append(OmeImage(name=given.get("Name", "").strip()))
    elif not ome.images:
        return
    elif element == "Pixels":
        _take_pixels(ome.images[-1], given)
    elif element == "Channel":
        samples = _whole(given.get("SamplesPerPixel"))
        ome.images[-1].channels.append((given.get("Name", ""), samples or 1))
    elif element == "TiffData":
        first = {axis: _whole(given.get(f"First{axis}")) or 0 for axis in "ZCT"}
        count = _whole(given.get("PlaneCount", given.get("NumPlanes")))
        ome.images[-1].planes.append(PlaneBlock(_whole(given.get("IFD")), count, first))
    elif element == "UUID" and ome.images[-1].planes:
        planes = ome.images[-1].planes
        planes[-1] = replace(planes[-1], uuid=content, file=given.get("FileName", ""))


def _take_pixels(image: OmeImage, given: Mapping[str, str]) -> None:
    order = given.get("DimensionOrder", "")
    image.order = order[2:] if order in _ORDERS else ""
    for axis in "XYZCT":
        size = _whole(given.get(f"Size{axis}"))
        if size:
            image.sizes[axis] = size
    for axis in "ZYX":
        if f"PhysicalSize{axis}" in given:
            unit = given.get(f"PhysicalSize{axis}Unit")
            image.physical[axis] = (given[f"PhysicalSize{axis}"], unit)
    image.interval = (given.get("TimeIncrement"), given.get("TimeIncrementUnit"))


def _whole(text: str | None) -> int | None:
    if text is None or not text.isascii() or not text.strip().isdigit():
        return None
    digits = text.strip().lstrip("0")
    # Python refuses to convert very long numbers.
    return int(digits or "0") if len(digits) < len(str(LARGEST)) else LARGEST
