"""Recognises files that are not tab-separated UTF-8 by their first bytes, such as an archive or text in UTF-16."""

from __future__ import annotations

from pathlib import Path

N_BYTES = 65536
"""Bytes that are looked at."""
_AS_TEXT = "save it as tab-separated UTF-8"
SIGNATURES: dict[bytes, str] = {
    b"\x1f\x8b": "a gzip file; decompress it with gunzip",
    b"BZh": "a bzip2 file; decompress it with bunzip2",
    b"\xfd7zXZ\x00": "an xz file; decompress it with unxz",
    b"(\xb5/\xfd": "a zstd file; decompress it with unzstd",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive; extract it",
    b"PK\x03\x04": f"a ZIP archive or a workbook; extract it, or {_AS_TEXT}",
    b"\xd0\xcf\x11\xe0": f"an Excel workbook; {_AS_TEXT}",
    b"PAR1": f"a Parquet file; {_AS_TEXT}",
    b"%PDF": f"a PDF document; {_AS_TEXT}",
    b"\xff\xfe\x00\x00": f"text in UTF-32; {_AS_TEXT}",
    b"\x00\x00\xfe\xff": f"text in UTF-32; {_AS_TEXT}",
    b"\xff\xfe": f"text in UTF-16; {_AS_TEXT}",
    b"\xfe\xff": f"text in UTF-16; {_AS_TEXT}",
    b"version https://git-lfs": "a pointer of Git LFS; fetch the file with git lfs pull",
    b"<": "a web page or XML; download the file itself",
    b"{": f"JSON; {_AS_TEXT}",
    b"[": f"JSON; {_AS_TEXT}",
}
"""What a file that begins so is, and what to do."""


def kind_of(path: Path) -> str | None:
    """What the file seems to be and what to do; None where it may be tab-separated UTF-8. Raises OSError."""
    with path.open("rb") as file:
        start = file.read(N_BYTES)
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    for signature, kind in SIGNATURES.items():
        if start.startswith(signature) or text.startswith(signature):
            return kind
    if b"\0" in start:
        is_utf16 = max(start[0::2].count(0), start[1::2].count(0)) > len(start) // 4
        return f"text in UTF-16; {_AS_TEXT}" if is_utf16 else f"a binary file; {_AS_TEXT}"
    if b"\r\r\n" in start:
        return "text whose lines end in CR CR LF; convert the line ends to LF"
    if b"\r" in start and b"\n" not in start:
        return "text whose lines end in CR, as on old Macs; convert the line ends to LF"
    return None
