# SPDX-License-Identifier: LGPL-3.0-or-later
"""Which room of the package imports which, from the imports in its files.

python tests/rooms.py [PACKAGE]     prints the graph, and the lines of code in each room
"""

import ast
import sys
from collections import defaultdict
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "deepmd_charge"


def modules(package):
    """Files of a package by the names of their modules, () for the package itself."""
    found = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        found[parts[:-1] if parts[-1] == "__init__" else parts] = path
    return found


def imports(package):
    """Yield pairs of modules, who imports and what is imported, wherever in a file it stands."""
    known = modules(package)
    for name, path in known.items():
        here = name if path.name == "__init__.py" else name[:-1]
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                yield from ((name, target) for target in _targets(node, here, known, package.name))
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    first, *parts = alias.name.split(".")
                    if first == package.name:
                        yield name, tuple(parts)


def _targets(node, here, known, package):
    if node.level:
        base = here[: len(here) - node.level + 1]
    elif node.module.split(".")[0] == package:
        base = ()
        node.module = ".".join(node.module.split(".")[1:])
    else:
        return
    base += tuple(node.module.split(".")) if node.module else ()
    for alias in node.names:
        target = (*base, alias.name)
        yield target if target in known else base


def room_of(module):
    """The room that a module is in: its outermost folder, or itself."""
    return module[0] if module else "__init__"


def graph(package):
    """Rooms that each room imports, {room: {room: number of imports}}."""
    found = defaultdict(lambda: defaultdict(int))
    for name, target in imports(package):
        if room_of(name) != room_of(target):
            found[room_of(name)][room_of(target)] += 1
    return found


def circles(edges):
    """Groups of nodes that reach one another, {node: nodes} (Tarjan)."""
    index, low, stack, on, groups = {}, {}, [], set(), []

    def visit(node):
        index[node] = low[node] = len(index)
        stack.append(node)
        on.add(node)
        for other in edges.get(node, ()):
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in on:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            group = []
            while not group or group[-1] != node:
                group.append(stack.pop())
                on.discard(group[-1])
            if len(group) > 1:
                groups.append(sorted(group))

    for node in list(edges):
        if node not in index:
            visit(node)
    return groups


def main(package):
    files = modules(package)
    lines = defaultdict(list)
    for name, path in files.items():
        lines[room_of(name)].append(len(path.read_text().splitlines()))
    edges = graph(package)
    for room in sorted(lines, key=lambda r: (len(edges[r]), r)):
        below = ", ".join(f"{other} {n}" for other, n in sorted(edges[room].items()))
        counts = f"{len(lines[room]):3} files{sum(lines[room]):6} lines"
        print(f"{room:14}{counts}, imports: {below or '-'}")
    print(f"{'all':14}{len(files):3} files{sum(map(sum, lines.values())):6} lines")
    print("circles:", circles(edges) or "none")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else PACKAGE)
