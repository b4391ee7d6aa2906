"""Build ONNX graphs. Needs the package onnx."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike


class GraphBuilder:
    """Collects the nodes and constants of an ONNX graph, in order."""

    def __init__(self, onnx: Any) -> None:
        """
        Args:
            onnx: the module, which callers import only if they need it.
        """
        self.onnx = onnx
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def add(self, operator: str, *inputs: str | ArrayLike, name: str = "", **attributes: Any) -> str:
        """Append a node, and return the name of its output.

        Args:
            inputs: names of values, or the values of constants.
            name: of the output; made up if empty.
            attributes: of the operator.
        """
        names = [value if isinstance(value, str) else self.constant(value) for value in inputs]
        output = name or f"v{len(self.nodes)}"
        self.nodes.append(self.onnx.helper.make_node(operator, names, [output], **attributes))
        return output

    def constant(self, value: ArrayLike, name: str = "") -> str:
        """Append a constant, and return its name; made up if empty."""
        name = name or f"c{len(self.constants)}"
        self.constants.append(self.onnx.numpy_helper.from_array(np.asarray(value), name))
        return name
