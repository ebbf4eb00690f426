"""The table of expressions, shared by every evaluator."""
