"""
Whether cut models are what ONNX says a model is: every fixture is cut in several ways by the command line, and each
result goes through the format's own checker and strict shape inference.

    python bench/checker.py [--fixtures test/fixtures ...]

Needs onnx. A cut model must pass what its dense model passes.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import onnx
from onnx import shape_inference

ROOT = Path(__file__).resolve().parent.parent
ZIPLM = ["npx", "node", str(ROOT / "src" / "cli.ts")]


def checked(path: Path) -> None:
    onnx.checker.check_model(str(path), full_check=True)


def inferred(path: Path) -> None:
    with tempfile.NamedTemporaryFile() as result:
        shape_inference.infer_shapes_path(str(path), result.name, check_type=True, strict_mode=True, data_prop=True)


def problem(path: Path, check: Callable[[Path], None]) -> str | None:
    """What a check says against a model; None when nothing."""
    try:
        check(path)
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
    wrong = count = 0
    for folder in folders:
        model = folder / json.loads((folder / "case.json").read_text())["file"]
        # Inference that follows values stumbles over names that both branches of an If use.
        checks = [check for check in (checked, inferred) if problem(model, check) is None]
        if len(checks) < 2:
            print(f"{folder.name}: the dense model itself passes {len(checks)} of 2 checks")
        blocks = json.loads(ziplm("inspect", str(model), "--json"))["blocks"]
        caches = ["keep", "compact"] if any(b.get("caches") for b in blocks) else ["keep"]
        for name, removal in removals(blocks).items():
            for cache in caches:
                with tempfile.TemporaryDirectory() as scratch:
                    remove, output = Path(scratch) / "remove.json", Path(scratch) / "model.onnx"
                    remove.write_text(json.dumps(removal))
                    ziplm("cut", str(model), "--remove", str(remove), "--output", str(output), "--cache", cache)
                    count += 1
                    for found in filter(None, (problem(output, check) for check in checks)):
                        wrong += 1
                        print(f"{folder.name}, {name}, caches {cache}: {found}")
    print(f"{count} cut models of {len(folders)} exports checked, {wrong} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
