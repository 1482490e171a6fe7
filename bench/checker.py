"""
Whether cut models are what ONNX says a model is: every fixture is cut in several ways by the command line, and each
result goes through the format's own checker and strict shape inference.

    python bench/checker.py [--fixtures test/fixtures ...]

Needs onnx. A dense model that does not pass itself is named, and its cuts are only loaded.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import onnx
from onnx import shape_inference

ROOT = Path(__file__).resolve().parent.parent
ZIPLM = ["npx", "node", str(ROOT / "src" / "cli.ts")]


def problem(path: Path) -> str | None:
    """What the checker or shape inference says against a model; None when nothing."""
    try:
        onnx.checker.check_model(str(path), full_check=True)
        with tempfile.NamedTemporaryFile() as inferred:
            shape_inference.infer_shapes_path(str(path), inferred.name, check_type=True, strict_mode=True, data_prop=True)
    except Exception as error:  # noqa: BLE001  both raise several kinds
        return " ".join(str(error).split())[:400]
    return None


def removals(blocks: list[dict]) -> dict[str, dict[str, list[int]]]:
    """Some structures of every block, all of the first two blocks, and everything."""
    some = {b["id"]: list(range(1, b["structures"], 2)) for b in blocks}
    modules = {b["id"]: list(range(b["structures"])) for b in blocks[:2]}
    every = {b["id"]: list(range(b["structures"])) for b in blocks}
    return {"some": some, "modules": {**some, **modules}, "all": every}


def ziplm(*arguments: str) -> str:
    done = subprocess.run([*ZIPLM, *arguments], cwd=ROOT, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"ziplm {' '.join(arguments)}: {done.stderr.strip()[:600]}")
    return done.stdout


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--fixtures", nargs="+", type=Path, default=[ROOT / "test" / "fixtures"])
    folders = [case.parent for root in options.parse_args().fixtures for case in sorted(root.resolve().glob("*/case.json"))]
    wrong = checked = 0
    for folder in folders:
        model = folder / json.loads((folder / "case.json").read_text())["file"]
        dense = problem(model)
        if dense:
            print(f"{folder.name}: the dense model does not pass itself: {dense}")
            continue
        blocks = json.loads(ziplm("inspect", str(model), "--json"))["blocks"]
        caches = ["keep", "compact"] if any(b.get("caches") for b in blocks) else ["keep"]
        for name, removal in removals(blocks).items():
            for cache in caches:
                with tempfile.TemporaryDirectory() as scratch:
                    remove, output = Path(scratch) / "remove.json", Path(scratch) / "model.onnx"
                    remove.write_text(json.dumps(removal))
                    ziplm("cut", str(model), "--remove", str(remove), "--output", str(output), "--cache", cache)
                    checked += 1
                    found = problem(output)
                    if found:
                        wrong += 1
                        print(f"{folder.name}, {name}, caches {cache}: {found}")
    print(f"{checked} cut models of {len(folders)} exports checked, {wrong} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
