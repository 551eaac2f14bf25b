"""Writes a cpio archive for Linux to boot from: initramfs.py OUTPUT PATH=FILE..., every file executable."""

import os
import sys

FOLDERS = ("proc", "dev", "sys", "tmp")


def main() -> None:
    archive = bytearray()
    made: set[str] = set()

    def entry(name: str, mode: int, data: bytes = b"") -> None:
        encoded = name.encode() + b"\0"
        inode = len(made) + 1
        made.add(name)
        fields = (inode, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(encoded), 0)
        archive.extend(b"070701" + "".join(f"{field:08x}" for field in fields).encode() + encoded)
        archive.extend(b"\0" * (-len(archive) % 4))
        archive.extend(data)
        archive.extend(b"\0" * (-len(archive) % 4))

    def folder(name: str) -> None:
        if name and name not in made:
            folder(os.path.dirname(name))
            entry(name, 0o040755)

    for name in FOLDERS:
        folder(name)
    for argument in sys.argv[2:]:
        path, file = argument.split("=", 1)
        path = path.lstrip("/")
        folder(os.path.dirname(path))
        with open(file, "rb") as source:
            entry(path, 0o100755, source.read())
    entry("TRAILER!!!", 0)
    with open(sys.argv[1], "wb") as output:
        output.write(archive)


main()
