#!/usr/bin/env bash
# One stage of ./dev test, as a process of its own (tools/test.sh says why).
set -euo pipefail
TT_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export TT_ROOT
cd "$TT_ROOT"
source tools/lib.sh
source tools/packages.sh
source tools/test.sh
"stage_$1"
