"""Write small microscope files (LIF, ND2) that the readers accept, and OME-TIFF.

They follow the published descriptions of the formats and contain only what every file of the format has, as far as a
reader may need it.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

Sizes = tuple[float, float, float]

MICRONS = {f"PhysicalSize{a}Unit": "µm" for a in "ZYX"} | {
    "PhysicalSizeZ": 0.29,
    "PhysicalSizeY": 0.11,
    "PhysicalSizeX": 0.1,
}


def write_lif(path: Path, data: NDArray[Any], names: Sequence[str], voxel_size: Sizes) -> Path:
    """A Leica LIF of one series: a stack (C, Z, Y, X) with its channels' names and (Z, Y, X) in µm."""
    c, z, y, x = data.shape
    step = data.itemsize
    # LAS AF and LAS X write all of these attributes, and liffile needs them.
    channels = "".join(
        f'<ChannelDescription DataType="0" ChannelTag="0" Resolution="{8 * step}" NameOfMeasuredQuantity="" '
        f'Min="0.000000e+000" Max="{2 ** (8 * step) - 1:e}" Unit="" LUTName="{name}" IsLUTInverted="0" '
        f'BytesInc="{i * step * x * y}" BitInc="0"/>'
        for i, name in enumerate(names)
    )
    axes = zip((x, y, z), voxel_size[::-1], (step, step * x, step * x * y * c), strict=True)
    # An axis reaches from the middle of its first voxel to that of its last, in metres.
    dimensions = "".join(
        f'<DimensionDescription DimID="{i}" NumberOfElements="{n}" Origin="0.000000e+000" '
        f'Length="{(n - 1) * size * 1e-6}" Unit="m" BitInc="0" BytesInc="{increment}"/>'
        for i, (n, size, increment) in enumerate(axes, start=1)
    )
    image = (
        '<Element Name="Series001"><Data><Image><ImageDescription>'
        f"<Channels>{channels}</Channels><Dimensions>{dimensions}</Dimensions></ImageDescription></Image></Data>"
        f'<Memory Size="{data.nbytes}" MemoryBlockID="MemBlock_1"/><Children/></Element>'
    )
    header = (
        '<LMSDataContainerHeader Version="2"><Element Name="a.lif"><Data><Experiment Path="a.lif"/></Data>'
        f'<Memory Size="0" MemoryBlockID="MemBlock_0"/><Children>{image}</Children></Element>'
        "</LMSDataContainerHeader>"
    )
    block = "MemBlock_1"
    path.write_bytes(
        struct.pack("<iiBi", 0x70, 5 + 2 * len(header), 0x2A, len(header))
        + header.encode("utf-16-le")
        + struct.pack("<iiBqBi", 0x70, 14 + 2 * len(block), 0x2A, data.nbytes, 0x2A, len(block))
        + block.encode("utf-16-le")
        + np.ascontiguousarray(np.moveaxis(data, 0, 1)).tobytes()
    )
    return path


def write_nd2(path: Path, data: NDArray[Any], names: Sequence[str], voxel_size: Sizes) -> Path:
    """A Nikon ND2 (3.0) of one Z loop: a stack (C, Z, Y, X) with its channels' names and (Z, Y, X) in µm."""
    c, z, y, x = data.shape
    bits = 8 * data.itemsize
    attributes = {
        "uiWidth": x,
        "uiHeight": y,
        "uiWidthBytes": x * c * data.itemsize,
        "uiComp": c,
        "uiBpcInMemory": bits,
        "uiBpcSignificant": bits,
        "uiSequenceCount": z,
        "eCompression": 2,
    }
    planes = {
        f"a{i}": {"sDescription": name, "uiCompCount": 1, "pFluorescentProbe": {"m_sName": name}}
        for i, name in enumerate(names)
    }
    picture = {
        "bCalibrated": True,
        "dCalibration": voxel_size[2],
        "sPicturePlanes": {"uiCount": c, "sPlaneNew": planes},
    }
    loop = {"eType": 4, "uLoopPars": {"uiCount": z, "dZStep": voxel_size[0]}}
    chunks = {
        "ImageAttributesLV": _variant(attributes),
        "ImageMetadataLV": _variant(loop),
        "ImageMetadataSeqLV|0": _variant(picture),
        "CustomData|AcqTimesCache": np.arange(z, dtype=np.float64).tobytes(),
    }
    for i in range(z):  # the time of a frame stands before it, its channels lie side by side
        chunks[f"ImageDataSeq|{i}"] = struct.pack("<d", i) + np.moveaxis(data[:, i], 0, -1).tobytes()
    written, places = bytearray(), b""

    def chunk(name: bytes, content: bytes, room: int) -> None:
        written.extend(
            struct.pack("<IIQ", 0x0ABECEDA, room, len(content)) + name.ljust(room, b"\0") + content
        )

    chunk(b"ND2 FILE SIGNATURE CHUNK NAME01!", b"Ver3.0".ljust(64, b"\0"), 32)
    for name, content in chunks.items():
        places += f"{name}!".encode() + struct.pack("<QQ", len(written), len(content))
        chunk(f"{name}!".encode(), content, 4072)
    end = b"ND2 CHUNK MAP SIGNATURE 0000001!"
    start = struct.pack("<Q", len(written))
    chunk(b"ND2 FILEMAP SIGNATURE NAME 0001!", places + end, 32)
    path.write_bytes(bytes(written) + end + start)
    return path


def _variant(fields: Mapping[str, Any]) -> bytes:
    return f'<variant version="1.0">{_element("no_name", fields)}</variant>'.encode()


def _element(tag: str, value: Any) -> str:
    if isinstance(value, Mapping):
        parts = "".join(_element(*item) for item in value.items())
        return f'<{tag} runtype="CLxListVariant">{parts}</{tag}>'
    kind = {bool: "bool", int: "lx_uint32", float: "double", str: "CLxStringW"}[type(value)]
    return f'<{tag} runtype="{kind}" value="{str(value).lower() if kind == "bool" else value}"/>'


def stack(shape: tuple[int, ...] = (2, 4, 6, 5), dtype: type = np.uint16, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 200, shape).astype(dtype)


def write_ome(path: Path, data: np.ndarray, axes: str, **metadata: object) -> Path:
    tifffile.imwrite(path, data, metadata={"axes": axes, **metadata}, ome=True, photometric="minisblack")
    return path
