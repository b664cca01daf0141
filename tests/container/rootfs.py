"""Makes the files of an image: a base's, and what the Dockerfile copies over them."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.container.dockerfile import ImageConfig, UnknownInstruction, read_dockerfile

DEBIAN = ("trixie", "python3,python-is-python3,ca-certificates")
"""The release with Python 3.13, and the packages by which it is what `python:3.13-slim-trixie` is."""


@dataclass(frozen=True)
class BuiltImage:
    """An image: how it is run, and the folder with its files."""

    config: ImageConfig
    root: Path

    def save(self, file: Path) -> Path:
        """Write it to a file, for another process. Returns the file."""
        file.write_text(json.dumps({"root": str(self.root), "config": asdict(self.config)}))
        return file

    @classmethod
    def load(cls, file: Path) -> BuiltImage:
        """Read what `save` wrote."""
        saved = json.loads(file.read_text())
        return cls(ImageConfig(**saved["config"]), Path(saved["root"]))


def make_base(root: Path) -> None:
    """Make a Debian root with Python from packages. Needs the network, the rights of root, and mmdebstrap."""
    release, packages = DEBIAN
    root.parent.mkdir(parents=True, exist_ok=True)
    making = root.with_name(f".making-{root.name}")
    shutil.rmtree(making, ignore_errors=True)
    command = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={packages}", release, str(making)]
    subprocess.run(command, check=True)
    making.rename(root)


def build_image(context: Path, base: Path, root: Path) -> BuiltImage:
    """Carry out the Dockerfile of `context` on a copy of `base`, at `root`."""
    config = read_dockerfile((context / "Dockerfile").read_text())
    if config.copies_of_images:
        raise UnknownInstruction(f"COPY --from={config.copies_of_images[0][0]}: there are no other images here")
    # files of the base are shared, not copied: nobody writes to them
    subprocess.run(["cp", "--archive", "--link", str(base), str(root)], check=True)
    for source, target in config.copies:
        shutil.copytree(context / source, inside(root, target), dirs_exist_ok=True)
    for folder in (config.workdir, *config.volumes):
        inside(root, folder).mkdir(parents=True, exist_ok=True)
    return BuiltImage(config, root)


def inside(root: Path, path: str) -> Path:
    """Return where a path of the image is on this machine."""
    return root / path.removeprefix("/")
