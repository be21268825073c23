"""The reader of GGUF files: any bytes."""

from pathlib import Path

from tests.fuzz.harness import load, main


def try_input(folder: Path, data: bytes) -> None:
    path = folder / "model.gguf"
    path.write_bytes(data)
    load(path)


if __name__ == "__main__":
    main(try_input)
