"""Symbolic sizes in an exported program: arithmetic of symbols, as torch prints it. sympy evaluates them as Python."""

from __future__ import annotations

import ast
import re

_LENGTH = 20_000
_TEXT = re.compile(r"[\w\s+\-*/%().,<>=&|~']+", re.ASCII)
_SYMBOL = re.compile(r"(?:s|u|i|f|z|q|zf|zuf)\d{1,6}")
_DECIMAL = re.compile(r"-?[\d.]{1,40}(?:e[+\-]?\d{1,3})?")
_VALUES = frozenset({"oo", "int_oo", "true", "false"})
_ASSUMPTIONS = frozenset({"positive", "integer", "nonnegative", "negative", "real", "finite", "nonzero", "zero"})
_POWERS = frozenset({"Pow", "PowByNatural", "FloatPow", "LShift", "RShift"})
_NUMBERS = frozenset({"Integer", "Rational", "Float", "Symbol"})
_FUNCTIONS = _POWERS | _NUMBERS | {
    "Add", "Mul", "Max", "Min", "Abs", "Mod", "PythonMod", "FloorDiv", "CleanDiv", "CeilDiv", "ModularIndexing", "Where",
    "CeilToInt", "FloorToInt", "TruncToInt", "RoundToInt", "TruncToFloat", "RoundDecimal", "ToFloat", "FloatTrueDiv",
    "IntTrueDiv", "Identity", "IsNonOverlappingAndDenseIndicator", "floor", "ceiling", "sqrt", "Piecewise", "ExprCondPair",
    "Eq", "Ne", "Lt", "Le", "Gt", "Ge", "Equality", "Unequality", "StrictLessThan", "LessThan", "StrictGreaterThan",
    "GreaterThan", "And", "Or", "Not",
}  # fmt: skip
_PARTS = (
    ast.Expression, ast.BinOp, ast.UnaryOp, ast.Compare, ast.BoolOp, ast.Call, ast.Name, ast.Constant, ast.Load,
    ast.operator, ast.unaryop, ast.cmpop, ast.boolop, ast.Tuple, ast.keyword,
)  # fmt: skip


def is_arithmetic(text: object) -> bool:
    """Whether a text is arithmetic of symbols such as `s0`, with the functions that torch prints and nothing else.

    >>> is_arithmetic("Add(Symbol('s0', positive=True), Integer(-1))"), is_arithmetic("s0 // 2 + 1")
    (True, True)
    >>> is_arithmetic("__import__('os').system('id')"), is_arithmetic("Symbol('s0').free_symbols")
    (False, False)
    """
    if not isinstance(text, str) or len(text) > _LENGTH or not _TEXT.fullmatch(text):
        return False
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return False
    named = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    quoted = {id(n.args[0]) for n in ast.walk(tree) if isinstance(n, ast.Call) and _is_quoting(n)}
    return all(_is_part(node, named, quoted) for node in ast.walk(tree))


def _is_part(node: ast.AST, named: set[int], quoted: set[int]) -> bool:
    if isinstance(node, ast.Name):
        return node.id in _FUNCTIONS if id(node) in named else node.id in _VALUES or bool(_SYMBOL.fullmatch(node.id))
    if isinstance(node, ast.Constant):
        return id(node) in quoted or _is_below(node, 1 << 64)
    if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Pow, ast.LShift, ast.RShift)):
        return _is_power(node.left, node.right)
    if isinstance(node, ast.Call):
        return _is_call(node)
    return isinstance(node, _PARTS)


def _is_call(node: ast.Call) -> bool:
    """A function by its name; only a symbol and a decimal number have keywords."""
    if not isinstance(node.func, ast.Name):
        return False
    if node.func.id in ("Symbol", "Float"):
        allowed = _ASSUMPTIONS if node.func.id == "Symbol" else {"precision"}
        return _is_quoting(node) and all(word.arg in allowed and _is_below(word.value, 1000) for word in node.keywords)
    if node.func.id in _POWERS:
        return len(node.args) == 2 and not node.keywords and _is_power(*node.args)
    return not node.keywords


def _is_quoting(node: ast.AST) -> bool:
    """`Symbol('s0')` or `Float('0.5')`."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or len(node.args) != 1:
        return False
    pattern = {"Symbol": _SYMBOL, "Float": _DECIMAL}.get(node.func.id)
    text = node.args[0].value if isinstance(node.args[0], ast.Constant) else None
    return pattern is not None and isinstance(text, str) and bool(pattern.fullmatch(text))


def _is_power(base: ast.AST, exponent: ast.AST) -> bool:
    """One that takes no time: a small exponent, or a symbol, and no power of powers."""
    inner = [node for node in ast.walk(base) if isinstance(node, (ast.Pow, ast.LShift, ast.Name))]
    if any(not isinstance(node, ast.Name) or node.id in _POWERS for node in inner):
        return False
    for node in ast.walk(exponent):
        if isinstance(node, (ast.BinOp, ast.Compare, ast.BoolOp)):
            return False
        if isinstance(node, ast.Call) and not (isinstance(node.func, ast.Name) and node.func.id in _NUMBERS):
            return False
        if isinstance(node, ast.Constant) and not isinstance(node.value, str) and not _is_below(node, 65):
            return False
    return True


def _is_below(node: ast.AST, limit: int) -> bool:
    value = node.value if isinstance(node, ast.Constant) else None
    return isinstance(value, (int, float)) and abs(value) < limit
