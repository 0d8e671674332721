#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""links.py ROOT: every link of a page to another file of the sources, or to a heading, leads somewhere, and the version
that a page tells is that of the project."""
import os
import re
import sys

root = sys.argv[1]


def without_code(text):
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S))


def anchors(path):
    with open(path) as file:
        text = re.sub(r"^```.*?^```", "", file.read(), flags=re.M | re.S)
    found = set()
    for heading in re.findall(r"^#+ +(.*?) *$", text, flags=re.M):
        base = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        name, count = base, 0
        while name in found:
            count += 1
            name = f"{base}-{count}"
        found.add(name)
    return found


def pages():
    skipped = {"build", ".git", ".cache"}
    for folder, names, files in os.walk(root):
        names[:] = [name for name in names if name not in skipped]
        yield from (os.path.join(folder, name) for name in files if name.endswith(".md"))


with open(os.path.join(root, "CMakeLists.txt")) as file:
    version = re.search(r"^project\(instancer VERSION ([0-9.]+)", file.read(), flags=re.M).group(1)

bad, checked, versions = [], 0, 0
for page in sorted(pages()):
    with open(page) as file:
        whole = file.read()
    for told in re.findall(r"^Version ([0-9.]*[0-9])|find_package\(instancer ([0-9.]+)", whole, flags=re.M):
        versions += 1
        if told not in ((version, ""), ("", version.rpartition(".")[0])):
            bad.append(f"{os.path.relpath(page, root)}: tells of version {''.join(told)}; the project's is {version}")
    text = without_code(whole)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        checked += 1
        path, _, anchor = target.partition("#")
        to = os.path.normpath(os.path.join(os.path.dirname(page), path)) if path else page
        where = f"{os.path.relpath(page, root)}: {target}"
        if not os.path.exists(to):
            bad.append(f"{where}: there is no such file")
        elif anchor and anchor not in anchors(to):
            bad.append(f"{where}: there is no such heading")
print("\n".join(bad) or f"{checked} links lead somewhere, {versions} versions are right")
sys.exit(1 if bad or not checked or not versions else 0)
