"""What `sig doctor` looks at: versions, device, memory, extras, cached weights, working folder, terminal."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from ..errors import reason
from ..version import __version__
from .console import console
from .graphics import colours_of, way_of

OK, HINT, BROKEN = "ok", "hint", "broken"
EXTRAS = {
    "timm": "timm", "hf": "transformers", "openclip": "open_clip_torch", "heif": "pillow-heif", "ray": "ray",
    "remote": "fsspec", "mlflow": "mlflow-skinny", "wandb": "wandb",
}  # fmt: skip
"""Extra → the package that it brings."""
_GB, _LITTLE = 1e9, 2e9


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Args:
        what: of what it is.
        told: what was found, in a line.
        state: ok, hint (it works, and could be better) or broken.
        mend: what to do; empty where nothing is to be done.
        facts: the same for programs; sizes in bytes.
    """

    what: str
    told: str
    state: str = OK
    mend: str = ""
    facts: Mapping[str, Any] | None = None

    def record(self) -> dict[str, Any]:
        """For --json."""
        return {"what": self.what, "state": self.state, "told": self.told, "mend": self.mend, **(self.facts or {})}


def version_of(package: str) -> str | None:
    """The version of an installed package, from its metadata: nothing is imported; None where it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def examine() -> Iterator[Finding]:
    """Look at everything, one thing after the other."""
    versions = {name: version_of(name) for name in ("torch", "torchvision")}
    told = ", ".join(f"{name} {version or 'missing'}" for name, version in versions.items())
    python = platform.python_version()
    yield Finding("versions", f"sig {__version__}, {told}, Python {python}", facts={"sig": __version__, **versions})
    broken = _imports()
    yield from broken
    if not broken:
        yield from _device()
    yield _memory()
    yield _extras()
    yield from _weights(torch_works=not broken)
    yield _folder(Path.cwd())
    yield _terminal(os.environ)


def _imports() -> list[Finding]:
    """Torch and torchvision, if they cannot be imported together."""
    try:
        import torchvision  # noqa: F401
    except Exception as error:  # noqa: BLE001  whatever a broken installation raises
        mend = "Install torch and torchvision together, from the same index: their builds must match."
        return [Finding("torch", f"cannot be imported: {' '.join(str(error).split())[:200]}", BROKEN, mend)]
    return []


def _device() -> Iterator[Finding]:
    import torch

    from ..models.device import choose_device

    name = choose_device("auto")
    if name == "cpu" and torch.version.cuda is None and shutil.which("nvidia-smi"):
        mend = "This torch is built for CPUs only: install the CUDA build of torch and torchvision to use the GPU."
        yield Finding("device", "cpu, though the machine has an NVIDIA driver", HINT, mend, {"device": "cpu"})
    elif name == "cuda":
        for number in range(torch.cuda.device_count()):
            yield _gpu(number)
    else:
        count = torch.get_num_threads()
        threads = f", {count} thread{'s' * (count > 1)}" if name == "cpu" else ""
        yield Finding("device", f"{name}{threads}", facts={"device": name, "threads": torch.get_num_threads()})
    yield _precision(name)


def _gpu(number: int) -> Finding:
    """A GPU: its memory, and whether it computes."""
    import torch

    known = torch.cuda.get_device_properties(number)
    facts: dict[str, Any] = {"device": f"cuda:{number}", "name": known.name}
    try:
        free, total = torch.cuda.mem_get_info(number)
        torch.ones(8, 8, device=f"cuda:{number}").matmul(torch.ones(8, 8, device=f"cuda:{number}")).sum().item()
    except RuntimeError as error:
        first = str(error).strip().split("\n")[0][:200]
        mend = "Free its memory or restart its driver; until then: --device cpu."
        return Finding("device", f"cuda:{number} {known.name} does not compute: {first}", BROKEN, mend, facts)
    facts |= {"free": free, "total": total}
    told = f"cuda:{number} {known.name}, {free / _GB:.1f} of {total / _GB:.1f} GB free"
    if free < _LITTLE:
        return Finding("device", told, HINT, "Other processes hold its memory: nvidia-smi shows which.", facts)
    return Finding("device", told, facts=facts)


def _precision(device: str) -> Finding:
    """The precision that is faster than fp32 on the device."""
    import torch

    major = torch.cuda.get_device_capability()[0] if device == "cuda" else 0
    best = "bf16" if major >= 8 else "fp16" if major == 7 else "fp32"
    told = f"--precision {best} is the fastest here" if best != "fp32" else "fp32; lower precisions pay on CUDA GPUs"
    return Finding("precision", told, facts={"fastest": best})


def _memory() -> Finding:
    """Main memory, and the limit of a container or batch system where there is one."""
    total = _total()
    limit = min(filter(None, (_of_group(), _of_process(), total)), default=None)
    told = "unknown" if total is None else f"{total / _GB:.1f} GB"
    told += f", of which this process may use {limit / _GB:.1f} GB" if limit and total and limit < total else ""
    facts = {"total": total, "limit": limit}
    if limit is not None and limit < _LITTLE:
        return Finding("memory", told, HINT, "Use --batch-size 1, and small networks; or allow more memory.", facts)
    return Finding("memory", told, facts=facts)


def _total() -> int | None:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # another system
        return None


def _of_group() -> int | None:
    for name in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            return int(Path(name).read_text())
        except (OSError, ValueError):
            continue
    return None


def _of_process() -> int | None:
    if sys.platform == "win32":
        return None
    import resource

    soft = resource.getrlimit(resource.RLIMIT_AS)[0]
    return None if soft == resource.RLIM_INFINITY else soft


def _extras() -> Finding:
    found = {extra: version_of(package) for extra, package in EXTRAS.items()}
    there = ", ".join(f"{extra} ({EXTRAS[extra]} {version})" for extra, version in found.items() if version)
    absent = [extra for extra, version in found.items() if not version]
    mend = f"Optional and not installed: pip install '.[{','.join(absent)}]'."
    return Finding("extras", there or "none", mend=mend if absent else "", facts={"extras": found})


def _weights(*, torch_works: bool) -> Iterator[Finding]:
    """Weights that were downloaded, and networks that scenarios have trained, with their sizes."""
    places = {"hf": _of_hub()}
    if torch_works:
        import torch

        from ..scenarios.network import cache_folder

        places |= {"torchvision": Path(torch.hub.get_dir()) / "checkpoints", "scenarios": cache_folder()}
    for name, folder in places.items():
        sizes = _sizes(folder)
        shown = ", ".join(f"{one} {size / 1e6:.0f} MB" for one, size in list(sizes.items())[:5])
        more = f", … {len(sizes)} in all" if len(sizes) > 5 else ""
        told = f"{name}: {shown}{more}" if sizes else f"{name}: none"
        yield Finding("weights", f"{told} in {folder}", facts={"of": name, "folder": str(folder), "files": sizes})


def _of_hub() -> Path:
    """Where Hugging Face's libraries keep what they download."""
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "huggingface"
    return Path(os.environ.get("HF_HUB_CACHE") or Path(home) / "hub")


def _sizes(folder: Path) -> dict[str, int]:
    """What is in a folder, the largest first, with its size in bytes: links are not followed, so nothing counts twice."""
    found: dict[str, int] = {}
    try:
        for entry in folder.iterdir():
            inside = entry.rglob("*") if entry.is_dir() else [entry]
            found[entry.name] = sum(one.lstat().st_size for one in inside if one.is_file() and not one.is_symlink())
    except OSError:
        return {}
    return dict(sorted(((n, s) for n, s in found.items() if s), key=lambda item: -item[1]))


def _folder(folder: Path) -> Finding:
    """Whether runs can be written into the working folder."""
    facts: dict[str, Any] = {"folder": str(folder)}
    try:
        with tempfile.TemporaryFile(dir=folder):
            free = shutil.disk_usage(folder).free
    except OSError as error:
        mend = "Go to a folder of your own, or write elsewhere with --out."
        return Finding("folder", f"{folder} cannot be written: {reason(error)}", BROKEN, mend, facts)
    facts["free"] = free
    if free < _GB:
        return Finding("folder", f"{folder} can be written, {free / _GB:.2f} GB free", HINT, "Free some room.", facts)
    return Finding("folder", f"{folder} can be written, {free / _GB:.0f} GB free", facts=facts)


def _terminal(environment: Mapping[str, str]) -> Finding:
    screen = console()
    if not screen.is_terminal:
        return Finding("terminal", "none: plain lines, no pictures", facts={"terminal": False})
    way, colours = way_of(environment), colours_of(environment).name.lower()
    facts = {"terminal": True, "columns": screen.width, "colours": colours, "show": way, "encoding": screen.encoding}
    told = f"{screen.width} columns, {'24-bit' if colours == 'truecolor' else '256'} colours, --show draws {way}"
    if not screen.encoding.casefold().startswith("utf"):
        return Finding("terminal", told, HINT, "Set a UTF-8 locale (LANG=C.UTF-8), or bars and blocks fail.", facts)
    return Finding("terminal", told, facts=facts)
