#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# reference.sh DOXYGEN [DIRECTORY]: makes the reference in DIRECTORY, or in one that goes. Any warning is an error,
# also that a public name has no documentation, be it that of an enumerator, of which Doxygen itself does not warn.
set -euo pipefail
cd "$(dirname "$0")/../.."
directory=${2:-}
if [ -z "$directory" ]; then
    directory=$(mktemp -d)
    trap 'rm -rf "$directory"' EXIT
fi
mkdir -p "$directory"
settings=$(cat libinstancer/doc/Doxyfile; echo "OUTPUT_DIRECTORY = $directory"; echo 'GENERATE_XML = YES')
warnings=$("$1" - <<<"$settings" 2>&1 >/dev/null)
[ -z "$warnings" ] || { echo "$warnings"; exit 1; }
[ -s "$directory/html/classinstancer_1_1Server.html" ] || { echo "there is no page about Server"; exit 1; }
# Members of a namespace are left out, without a warning, where nothing documents the namespace.
for name in listen_tcp read_line equal_secrets make_stream_pair Errc Result; do
    grep -q ">$name<" "$directory/html/namespaceinstancer.html" || { echo "$name is missing"; exit 1; }
done
python3 - "$directory/xml" <<'EOF'
import pathlib, sys, xml.etree.ElementTree as tree
files = [*pathlib.Path(sys.argv[1]).glob("namespace*.xml"), *pathlib.Path(sys.argv[1]).glob("class*.xml")]
values = [(enum.findtext("name"), value) for file in files
          for enum in tree.parse(file).iter("memberdef") if enum.get("kind") == "enum" and enum.get("prot") == "public"
          for value in enum.iter("enumvalue")]
bare = [f"{name}::{value.findtext('name')}" for name, value in values
        if not "".join(value.find("briefdescription").itertext()).strip()
        and not "".join(value.find("detaileddescription").itertext()).strip()]
sys.exit(f"without documentation: {', '.join(bare)}" if bare else 0 if values else "no enumerator is found")
EOF
