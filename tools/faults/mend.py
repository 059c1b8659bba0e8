"""Corrects the hashes of altered files, as somebody with write access to the whole folder or bundle could."""

import hashlib
import json
from pathlib import Path
from typing import Any

from tools.faults.mutators.arrays import members, zipped

_EMPTY = '"sha256": ""'


def sha256(data: bytes) -> str:
    """Return the SHA-256 in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def signed(manifest: dict[str, Any]) -> bytes:
    """Return a manifest's text with its own hash, computed with that hash left empty."""
    text = json.dumps({**manifest, "sha256": ""}, indent=2, ensure_ascii=False)
    if _EMPTY not in text:
        return text.encode(errors="surrogatepass")
    digest = sha256(text.encode(errors="surrogatepass"))
    head, mark, tail = text.rpartition(_EMPTY)
    return f'{head}"sha256": "{digest}"{tail}'.encode(errors="surrogatepass") if mark else text.encode()


def resigned(data: bytes) -> bytes:
    """Return an altered manifest with its own hash corrected; text that is no longer an object is returned unchanged."""
    manifest = json.loads(data)
    return signed(manifest) if isinstance(manifest, dict) and "sha256" in manifest else data


def vouched(manifest: bytes, name: str, data: bytes) -> bytes:
    """Return a manifest that lists `data` as its file `name`, whether a model, a file for programs or the reference."""
    record = json.loads(manifest)
    for listed in (*record["artifacts"], *record.get("for_programs", ())):
        if listed["path"] == name:
            listed |= {"sha256": sha256(data), "size_bytes": len(data)}
    if record["reference"]["path"] == name:
        record["reference"]["sha256"] = sha256(data)
    return signed(record)


def mend_folder(folder: Path, name: str) -> None:
    """Make a folder's manifest list its file `name` with the present content."""
    path = folder / "manifest.json"
    path.write_bytes(vouched(path.read_bytes(), name, (folder / name).read_bytes()))


def mend_bundle(bundle: bytes, name: str, data: bytes) -> bytes:
    """Return a bundle in which a member is `data` and every hash is correct."""
    files = members(bundle)
    files[name] = data
    if name != "bundle.json":
        files["manifest.json"] = vouched(files["manifest.json"], name, data) if name != "manifest.json" else data
        index = json.loads(files["bundle.json"])
        for member in (name, "manifest.json"):
            index["members"][member] = {"size_bytes": len(files[member]), "sha256": sha256(files[member])}
        files["bundle.json"] = json.dumps(index, indent=2).encode()
    return zipped(files)
