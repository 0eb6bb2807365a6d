"""Lets the reference show examples as code.

Docstrings here write an example as `>>>` lines below "Example:", where Markdown sees quotations of
quotations. Each run of such lines, up to the next empty one, is put into a fence.
"""

import re

import griffe

EXAMPLE = re.compile(r"^( *)>>> .*(?:\n\1(?=\S).*)*", re.MULTILINE)


def fenced(text: str) -> str:
    """The docstring with its examples in fences."""

    def fence(match: re.Match[str]) -> str:
        indent = match[1]
        return f"{indent}```pycon\n{match[0]}\n{indent}```"

    return EXAMPLE.sub(fence, text)


class DoctestBlocks(griffe.Extension):
    """Fences the examples of every docstring that is read."""

    def on_instance(self, *, obj: griffe.Object, **kwargs: object) -> None:
        if obj.docstring is not None:
            obj.docstring.value = fenced(obj.docstring.value)
