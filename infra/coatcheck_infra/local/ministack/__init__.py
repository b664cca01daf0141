"""MiniStack, patched where it is weaker than AWS: run by MiniStack's own interpreter, imported by nothing of ours."""
