"""A small reader of C sources: enough to find functions, includes and calls, not a compiler."""
import re

KEYWORDS = frozenset("if for while switch do else return sizeof _Alignof case default goto".split())
BRANCHES = frozenset(["if", "for", "while", "case", "&&", "||", "?"])
TOKEN = re.compile(
    r"[A-Za-z_]\w*|0[xX][0-9a-fA-F]+\w*|\d[\w.]*|&&|\|\||->|\.\.\.|::|[-+*/%&|^~!<>=?:;,.(){}\[\]#]"
)
STRIP = re.compile(
    r"//[^\n]*|/\*.*?\*/|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'", re.S
)
DIRECTIVE = re.compile(r"^[ \t]*#(?:[^\n\\]|\\\n|\\.)*", re.M)


def blank(match):
    """Keeps the line breaks, so that line numbers stay true."""
    text = match.group(0)
    if text[0] == '"':
        return '""' + "\n" * text.count("\n")
    if text[0] == "'":
        return "0"
    return " " + "\n" * text.count("\n")


class Token:
    """One word of the source and its line."""

    __slots__ = ("text", "line")

    def __init__(self, text, line):
        self.text = text
        self.line = line


class Function:
    """A function definition: what the limits are about."""

    def __init__(self, name, line):
        self.name = name
        self.line = line
        self.line_count = 0
        self.parameter_count = 0
        self.complexity = 1
        self.nesting = 0
        self.labels = {}
        self.gotos = []


def tokens_of(text):
    """Tokens without comments, literals and directives."""
    plain = STRIP.sub(blank, text)
    plain = DIRECTIVE.sub(lambda match: "\n" * match.group(0).count("\n"), plain)
    tokens = []
    line = 1
    last = 0
    for match in TOKEN.finditer(plain):
        line += plain.count("\n", last, match.start())
        last = match.start()
        tokens.append(Token(match.group(0), line))
    return tokens


def closing(tokens, start, pair):
    """Index of the token that closes the bracket at start."""
    depth = 0
    for index in range(start, len(tokens)):
        if tokens[index].text == pair[0]:
            depth += 1
        elif tokens[index].text == pair[1]:
            depth -= 1
            if depth == 0:
                return index
    return len(tokens) - 1


def opening(tokens, end):
    """Index of the parenthesis that the one at end closes."""
    depth = 0
    for index in range(end, -1, -1):
        if tokens[index].text == ")":
            depth += 1
        elif tokens[index].text == "(":
            depth -= 1
            if depth == 0:
                return index
    return 0


def parameters_of(tokens, start, end):
    """Number of parameters between the parentheses at start and end."""
    inner = tokens[start + 1 : end]
    if not inner or (len(inner) == 1 and inner[0].text == "void"):
        return 0
    depth = 0
    count = 1
    for token in inner:
        if token.text in "([{":
            depth += 1
        elif token.text in ")]}":
            depth -= 1
        elif token.text == "," and depth == 0:
            count += 1
    return count


def is_stacked_case(tokens, index):
    """True for a case label right after another one: both are one way through."""
    return tokens[index].text == "case" and tokens[index - 1].text == ":"


def is_block(tokens, brace):
    """True when this brace opens a statement block and not an initialiser."""
    before = tokens[brace - 1].text
    if before in ("else", "do", ";", "{", "}", ":"):
        return True
    if before != ")":
        return False
    word = tokens[opening(tokens, brace - 1) - 1].text
    return word in ("if", "for", "while", "switch") or word.isupper()


def measure(function, tokens, start, end):
    """Complexity, nesting and jumps of the body between the braces at start and end."""
    stack = []
    for index in range(start + 1, end):
        word = tokens[index].text
        if word in BRANCHES and not is_stacked_case(tokens, index):
            function.complexity += 1
        if word == "{":
            stack.append(is_block(tokens, index))
            function.nesting = max(function.nesting, sum(stack))
        elif word == "}" and stack:
            stack.pop()
        elif word == "goto":
            function.gotos.append((tokens[index + 1].text, tokens[index].line))
        elif (
            word == ":"
            and tokens[index - 2].text in (";", "{", "}", ":")
            and re.fullmatch(r"[A-Za-z_]\w*", tokens[index - 1].text)
            and tokens[index - 1].text != "default"
        ):
            function.labels[tokens[index - 1].text] = tokens[index].line


def find_parameters(tokens, brace):
    """(name, open, close) indexes of the definition whose body begins at brace, or None."""
    index = brace - 1
    while index > 0 and tokens[index].text not in (";", "}"):
        if tokens[index].text == "=":
            return None
        if tokens[index].text == ")":
            start = opening(tokens, index)
            name = tokens[start - 1].text
            if name not in ("__attribute__", "_Alignas", "aligned", "cleanup") and re.fullmatch(
                r"[A-Za-z_]\w*", name
            ):
                return start - 1, start, index
            index = start
        index -= 1
    return None


def functions_of(tokens):
    """All function definitions, and the tokens outside of them."""
    functions = []
    outside = []
    index = 0
    while index < len(tokens):
        if tokens[index].text != "{":
            outside.append(tokens[index])
            index += 1
            continue
        end = closing(tokens, index, "{}")
        found = find_parameters(tokens, index)
        if found:
            name, first, last = found
            function = Function(tokens[name].text, tokens[name].line)
            function.line_count = tokens[end].line - tokens[name].line + 1
            function.parameter_count = parameters_of(tokens, first, last)
            measure(function, tokens, index, end)
            functions.append(function)
            outside.append(Token(";", tokens[end].line))
        else:
            outside.append(Token("{}", tokens[index].line))
        index = end + 1
    return functions, outside


COMMENT = re.compile(r"\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'|/\*.*?\*/", re.S)


def comments_of(text):
    """The lines that comments cover, and those where one that has its lines to itself ends."""
    covered, above = set(), set()
    for match in COMMENT.finditer(text):
        if not match.group(0).startswith("/*"):
            continue
        first = text.count("\n", 0, match.start()) + 1
        last = first + match.group(0).count("\n")
        covered.update(range(first, last + 1))
        begin = text.rfind("\n", 0, match.start()) + 1
        if not text[begin : match.start()].strip():
            above.add(last)
    return covered, above


def members_of(tokens):
    """(name, lines that may tell about it) of each member of each struct and union."""
    members = []
    bodies = []  # of open braces: whether it is a struct's, and the line it begins on
    statement = []
    for index, token in enumerate(tokens):
        if token.text == "{":
            heads = [t.text for t in tokens[max(0, index - 2) : index]]
            bodies.append(("struct" in heads or "union" in heads, token.line))
            statement = []
        elif token.text == "}":
            inside, begin = bodies.pop() if bodies else (False, 0)
            nested = inside and bodies and bodies[-1][0]
            statement = [Token("{", begin)] if nested else []  # its name follows
        elif token.text == ";":
            names = [t.text for t in statement if t.text[0].isalpha() or t.text[0] == "_"]
            if bodies and bodies[-1][0] and names:
                lines = [t.line for t in statement] + [token.line]
                members.append((names[-1], lines))
            statement = []
        else:
            statement.append(token)
    return members
