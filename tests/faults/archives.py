"""Archives whose content was changed and whose sums are right all the same."""

import io
import struct
import zipfile
import zlib


def with_right_sums(content: bytes) -> bytes:
    """A zip archive with the checksum of each of its members, as far as they can be found."""
    changed = bytearray(content)
    entry = -1
    while (entry := content.find(b"PK\1\2", entry + 1)) >= 0:
        if len(content) < entry + 46:
            break
        kind, _, _, _, size = struct.unpack_from("<HHHII", content, entry + 10)
        (at,) = struct.unpack_from("<I", content, entry + 42)
        names = content[at + 26 : at + 30]
        if len(names) < 4 or content[at : at + 4] != b"PK\3\4":
            continue
        start = at + 30 + sum(struct.unpack("<HH", names))
        plain = content[start : start + size]
        if kind == zipfile.ZIP_DEFLATED:
            try:
                plain = zlib.decompressobj(-zlib.MAX_WBITS).decompress(plain, 2**20)
            except zlib.error:
                continue
        total = struct.pack("<I", zlib.crc32(plain))
        changed[entry + 16 : entry + 20] = changed[at + 14 : at + 18] = total
    return bytes(changed)


def zip_of(members: dict[str, bytes], kind: int = zipfile.ZIP_STORED) -> bytes:
    """An archive of members by name."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", kind) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()
