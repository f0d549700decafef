"""No two modules of the package import each other in a circle, imports for annotations included."""

from __future__ import annotations

import grimp


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = grimp.build_graph("lidarprep", exclude_type_checking_imports=False, cache_dir=None)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    assert _in_circles(imports) == set()


def _in_circles(imports: dict[str, set[str]]) -> set[str]:
    """The modules that are in a circle: those that are left once whatever imports nothing else is taken away."""
    left = {module: set(imported) - {module} for module, imported in imports.items()}
    for direction in (left, _reversed(left)):
        ends = [module for module, others in direction.items() if not others & left.keys()]
        while ends:
            for module in ends:
                left.pop(module, None)
            ends = [module for module in left if not direction[module] & left.keys()]
    return set(left)


def _reversed(imports: dict[str, set[str]]) -> dict[str, set[str]]:
    importers: dict[str, set[str]] = {module: set() for module in imports}
    for module, imported in imports.items():
        for other in imported & imports.keys():
            importers[other].add(module)
    return importers
