#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""blocks.py PAGE.md OUT.cpp: writes every ```cpp block of the page into one source file, each in a namespace of its
own behind all of their includes, so that page and compiled code cannot differ. Errors name the line of the page."""
import sys

page, out = sys.argv[1:]
includes, blocks, block = [], [], None
with open(page) as file:
    for number, line in enumerate(file, 1):
        if block is None:
            if line.rstrip() == "```cpp":
                block = [f'#line {number + 1} "{page}"\n']
        elif line.startswith("```"):
            blocks.append(block)
            block = None
        elif line.startswith("#include"):
            includes.append(line)
            block.append("\n")
        else:
            block.append(line)
if not blocks:
    sys.exit(f"{page}: no block of code")
with open(out, "w") as file:
    file.write(f"// From {page}\n" + "".join(dict.fromkeys(includes)))
    for number, block in enumerate(blocks, 1):
        text = "".join(block)
        file.write(f"namespace block_{number} {{\nusing namespace instancer;\n{text}}}  // namespace block_{number}\n")
