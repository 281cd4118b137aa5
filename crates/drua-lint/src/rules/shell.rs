//! What is wrong in scripts, under the codes of ShellCheck, whose pages explain each further. Found by our own parser.

use super::Family::Shell;
use super::Rule;
use crate::report::Safety::{Safe, Unsafe};
use crate::report::Severity::{Error, Info, Style, Warning};

const fn rule(code: &'static str, name: &'static str, severity: crate::report::Severity) -> Rule {
    Rule::new(Shell, code, name, severity)
}

const SYNTAX: &str = "The shell ends with a syntax error, and the build with it.";
const NOT_POSIX: &str = "/bin/sh is dash on Debian and busybox on Alpine: neither has bash's extensions. `SHELL [\"/bin/bash\", \"-c\"]` makes it bash.";

pub(super) const RULES: &[Rule] = &[
    rule("SC1001", "useless-escape", Info)
        .says("This backslash does nothing", "Before a letter without quotes the backslash is dropped: `\\n` is an n.")
        .shows("FROM alpine:3.22\nRUN echo a\\nb\n", "FROM alpine:3.22\nRUN printf 'a\\nb'\n"),
    rule("SC1007", "space-after-equals", Warning)
        .says("Remove the space after = to assign a value", "`a= b` runs b with an empty a.")
        .shows("FROM alpine:3.22\nRUN x= 1; echo \"$x\"\n", "FROM alpine:3.22\nRUN x=1; echo \"$x\"\n"),
    rule("SC1018", "odd-space", Error)
        .says("This is a unicode space: write a plain one", "The shell takes it for a letter.")
        .shows("FROM alpine:3.22\nRUN echo\u{a0}a\n", "FROM alpine:3.22\nRUN echo a\n")
        .mends(Safe),
    rule("SC1033", "test-not-closed", Error).says("`[[` is closed by `]]`", SYNTAX).shows(
        "FROM debian:13\nSHELL [\"/bin/bash\", \"-c\"]\nRUN if [[ -f a ]; then echo b; fi\n",
        "FROM debian:13\nSHELL [\"/bin/bash\", \"-c\"]\nRUN if [[ -f a ]]; then echo b; fi\n",
    ),
    rule("SC1035", "missing-space", Error)
        .says("A space is missing here", "`[a` and `!a` are names of commands.")
        .shows(
            "FROM alpine:3.22\nRUN if [-f a ]; then echo b; fi\n",
            "FROM alpine:3.22\nRUN if [ -f a ]; then echo b; fi\n",
        ),
    rule("SC1045", "ampersand-semicolon", Error)
        .says("It is not `foo &; bar`, just `foo & bar`", SYNTAX)
        .shows("FROM alpine:3.22\nRUN a &; b\n", "FROM alpine:3.22\nRUN a & b\n"),
    rule("SC1046", "if-not-closed", Error)
        .says("`if` is closed by `fi`", SYNTAX)
        .shows("FROM alpine:3.22\nRUN if true; then echo a\n", "FROM alpine:3.22\nRUN if true; then echo a; fi\n"),
    rule("SC1049", "then-missing", Error)
        .says("`then` is missing", SYNTAX)
        .shows("FROM alpine:3.22\nRUN if true; echo a; fi\n", "FROM alpine:3.22\nRUN if true; then echo a; fi\n"),
    rule("SC1056", "brace-not-closed", Error)
        .says("`{` is closed by `; }`", SYNTAX)
        .shows("FROM alpine:3.22\nRUN { echo a; echo b\n", "FROM alpine:3.22\nRUN { echo a; echo b; }\n"),
    rule("SC1058", "do-missing", Error).says("`do` or `in` is missing", SYNTAX).shows(
        "FROM alpine:3.22\nRUN for x in a b; echo \"$x\"; done\n",
        "FROM alpine:3.22\nRUN for x in a b; do echo \"$x\"; done\n",
    ),
    rule("SC1061", "loop-not-closed", Error)
        .says("`do` is closed by `done`", SYNTAX)
        .shows("FROM alpine:3.22\nRUN while true; do echo a\n", "FROM alpine:3.22\nRUN while true; do echo a; done\n"),
    rule("SC1065", "function-parameters", Error)
        .says("Functions have no parameters in their declaration; a parenthesis cannot stand here", SYNTAX)
        .shows("FROM alpine:3.22\nRUN f(a) { echo a; }; f\n", "FROM alpine:3.22\nRUN f() { echo \"$1\"; }; f a\n"),
    rule("SC1066", "dollar-in-assignment", Error)
        .says("Don't use $ on the left side of assignments", "It runs a command whose name is the variable's value.")
        .shows("FROM alpine:3.22\nRUN $x=1\n", "FROM alpine:3.22\nRUN x=1; echo \"$x\"\n"),
    rule("SC1068", "spaces-round-equals", Error)
        .says("Don't put spaces around the = in assignments", "It runs a command of that name with `=` as an argument.")
        .shows("FROM alpine:3.22\nRUN x = 1\n", "FROM alpine:3.22\nRUN x=1; echo \"$x\"\n"),
    rule("SC1072", "unexpected", Error)
        .says("Nothing like this can stand here", SYNTAX)
        .shows("FROM alpine:3.22\nRUN && echo a\n", "FROM alpine:3.22\nRUN echo a\n"),
    rule("SC1073", "expansion-not-closed", Error)
        .says("`$(`, `${` and backticks are closed by `)`, `}` and a backtick", SYNTAX)
        .shows("FROM alpine:3.22\nRUN echo \"$(date\"\n", "FROM alpine:3.22\nRUN echo \"$(date)\"\n"),
    rule("SC1077", "acute-backtick", Error)
        .says("This is an acute accent and not a backtick", "The shell takes it for a letter.")
        .shows("FROM alpine:3.22\nRUN echo \u{b4}date\u{b4}\n", "FROM alpine:3.22\nRUN echo \"$(date)\"\n"),
    rule("SC1078", "quote-not-closed", Error)
        .says("A quote is not closed", SYNTAX)
        .shows("FROM alpine:3.22\nRUN echo \"a\n", "FROM alpine:3.22\nRUN echo \"a\"\n"),
    rule("SC1081", "keyword-case", Error)
        .says("Keywords are lower case", "`If` is the name of a command.")
        .shows("FROM alpine:3.22\nRUN If true; then echo a; fi\n", "FROM alpine:3.22\nRUN if true; then echo a; fi\n"),
    rule("SC1086", "dollar-in-for", Error).says("Don't use $ on the variable of a for loop", SYNTAX).shows(
        "FROM alpine:3.22\nRUN for $x in a; do echo \"$x\"; done\n",
        "FROM alpine:3.22\nRUN for x in a; do echo \"$x\"; done\n",
    ),
    rule("SC1088", "parenthesis-not-closed", Error)
        .says("`(` is closed by `)`", SYNTAX)
        .shows("FROM alpine:3.22\nRUN (echo a; echo b\n", "FROM alpine:3.22\nRUN (echo a; echo b)\n"),
    rule("SC1089", "closes-nothing", Error)
        .says("Something is closed that is not open", SYNTAX)
        .shows("FROM alpine:3.22\nRUN echo a; fi\n", "FROM alpine:3.22\nRUN if true; then echo a; fi\n"),
    rule("SC1097", "double-equals-assignment", Error)
        .says("Unexpected ==. For assignment use =", "It runs a command of that name.")
        .shows("FROM alpine:3.22\nRUN x==1; echo \"$x\"\n", "FROM alpine:3.22\nRUN x=1; echo \"$x\"\n"),
    rule("SC1102", "arithmetic-not-closed", Error)
        .says("`$((` is closed by `))`", SYNTAX)
        .shows("FROM alpine:3.22\nRUN echo $((1 + 2)\n", "FROM alpine:3.22\nRUN echo $((1 + 2))\n"),
    rule("SC2002", "useless-cat", Style)
        .says(
            "Useless cat. Consider `cmd < file | ..` or `cmd file | ..` instead",
            "A process more, and its failure is not seen.",
        )
        .shows(
            "FROM alpine:3.22\nSHELL [\"/bin/ash\", \"-eo\", \"pipefail\", \"-c\"]\nRUN cat a | grep b\n",
            "FROM alpine:3.22\nRUN grep b a\n",
        ),
    rule("SC2006", "backticks", Style)
        .says(
            "Use $(...) notation instead of backticks `...`",
            "Backticks cannot be nested without escapes, and escapes in them mean something else.",
        )
        .shows("FROM alpine:3.22\nRUN echo \"`date`\"\n", "FROM alpine:3.22\nRUN echo \"$(date)\"\n")
        .mends(Safe),
    rule("SC2015", "and-or", Info)
        .says("Note that A && B || C is not if-then-else. C may run when A is true", "C runs when B fails as well.")
        .shows(
            "FROM alpine:3.22\nRUN test -f a && cp a b || touch b\n",
            "FROM alpine:3.22\nRUN if test -f a; then cp a b; else touch b; fi\n",
        ),
    rule("SC2016", "single-quoted-expansion", Info)
        .says(
            "Expressions don't expand in single quotes, use double quotes for that",
            "The text has a dollar sign in it, and keeps it.",
        )
        .shows("FROM alpine:3.22\nRUN echo 'home is $HOME'\n", "FROM alpine:3.22\nRUN echo \"home is $HOME\"\n"),
    rule("SC2028", "echo-escapes", Info)
        .says("echo may not expand escape sequences. Use printf", "dash expands `\\n`, bash does not.")
        .shows("FROM alpine:3.22\nRUN echo \"a\\nb\"\n", "FROM alpine:3.22\nRUN printf 'a\\nb\\n'\n"),
    rule("SC2034", "unused-variable", Warning)
        .says(
            "A variable is set and never used",
            "Each RUN is a shell of its own: what it sets is forgotten. ENV is kept.",
        )
        .shows("FROM alpine:3.22\nRUN foo=1; echo bar\n", "FROM alpine:3.22\nRUN foo=1; echo \"$foo\"\n"),
    rule("SC2035", "glob-as-option", Info)
        .says(
            "Use ./*glob* or -- *glob* so names with dashes won't become options",
            "A file called `-rf` is an option.",
        )
        .shows("FROM alpine:3.22\nRUN rm *.txt\n", "FROM alpine:3.22\nRUN rm ./*.txt\n")
        .mends(Safe),
    rule("SC2038", "find-xargs", Warning)
        .says(
            "Use 'find .. -print0 | xargs -0 ..' or 'find .. -exec .. +' to allow non-alphanumeric filenames",
            "A blank in a name makes two of it.",
        )
        .shows(
            "FROM alpine:3.22\nRUN find . -name '*.o' | xargs rm\n",
            "FROM alpine:3.22\nRUN find . -name '*.o' -exec rm {} +\n",
        ),
    rule("SC2046", "unquoted-command", Warning)
        .says(
            "Quote this to prevent word splitting",
            "The output is split at blanks, and its stars become names of files.",
        )
        .shows("FROM alpine:3.22\nRUN mkdir $(cat name)\n", "FROM alpine:3.22\nRUN mkdir \"$(cat name)\"\n")
        .mends(Unsafe),
    rule("SC2059", "printf-variable", Info)
        .says(
            "Don't use variables in the printf format string. Use printf '..%s..' \"$foo\"",
            "A percent sign in the value is a directive.",
        )
        .shows("FROM alpine:3.22\nRUN x=a; printf \"$x\"\n", "FROM alpine:3.22\nRUN x=a; printf '%s' \"$x\"\n"),
    rule("SC2068", "unquoted-arguments", Error)
        .says("Double quote array expansions to avoid re-splitting elements", "Arguments with blanks become several.")
        .shows("FROM alpine:3.22\nRUN f() { ls $@; }; f a\n", "FROM alpine:3.22\nRUN f() { ls \"$@\"; }; f a\n")
        .mends(Safe),
    rule("SC2086", "unquoted-variable", Info)
        .says(
            "Double quote to prevent globbing and word splitting",
            "The value is split at blanks, and its stars become names of files.",
        )
        .shows("FROM alpine:3.22\nARG NAME\nRUN mkdir $NAME\n", "FROM alpine:3.22\nARG NAME\nRUN mkdir \"$NAME\"\n")
        .mends(Unsafe),
    rule("SC2088", "quoted-tilde", Warning)
        .says("Tilde does not expand in quotes. Use $HOME", "It makes a folder called `~`.")
        .shows("FROM alpine:3.22\nRUN mkdir \"~/a\"\n", "FROM alpine:3.22\nRUN mkdir \"$HOME/a\"\n"),
    rule("SC2115", "rm-root", Warning)
        .says("Use \"${var:?}\" to ensure this never expands to /*", "With an empty variable it removes everything.")
        .shows(
            "FROM alpine:3.22\nARG DIR\nRUN rm -rf \"$DIR/\"*\n",
            "FROM alpine:3.22\nARG DIR\nRUN rm -rf \"${DIR:?}/\"*\n",
        ),
    rule("SC2154", "unassigned-variable", Warning)
        .says(
            "A variable is used that nothing sets",
            "It is empty. Often it was set in another RUN, which is another shell.",
        )
        .shows("FROM alpine:3.22\nRUN echo \"$foo\"\n", "FROM alpine:3.22\nRUN foo=1; echo \"$foo\"\n"),
    rule("SC2155", "declare-and-assign", Warning)
        .says(
            "Declare and assign separately to avoid masking return values",
            "The failure of the command inside is not seen.",
        )
        .shows(
            "FROM alpine:3.22\nRUN export A=\"$(false)\"; echo \"$A\"\n",
            "FROM alpine:3.22\nRUN A=\"$(date)\"; export A; echo \"$A\"\n",
        ),
    rule("SC2162", "read-without-r", Info)
        .says("read without -r will mangle backslashes", "It takes backslashes for escapes.")
        .shows("FROM alpine:3.22\nRUN read x < a; echo \"$x\"\n", "FROM alpine:3.22\nRUN read -r x < a; echo \"$x\"\n")
        .mends(Safe),
    rule("SC2164", "cd-unchecked", Warning)
        .says("Use 'cd ... || exit' or 'cd ... || return' in case cd fails", "What follows runs in the wrong folder.")
        .shows("FROM alpine:3.22\nRUN cd /a; rm -r b\n", "FROM alpine:3.22\nRUN cd /a && rm -r b\n"),
    rule("SC2166", "test-and", Warning)
        .says("Prefer [ p ] && [ q ] as [ p -a q ] is not well defined", "POSIX has marked it obsolescent.")
        .shows(
            "FROM alpine:3.22\nRUN [ -f a -a -f b ] && echo c\n",
            "FROM alpine:3.22\nRUN [ -f a ] && [ -f b ] && echo c\n",
        ),
    rule("SC2196", "egrep", Info)
        .says(
            "egrep is non-standard and deprecated. Use grep -E instead",
            "GNU grep 3.8 prints a warning for each use.",
        )
        .shows("FROM alpine:3.22\nRUN egrep a b\n", "FROM alpine:3.22\nRUN grep -E a b\n")
        .mends(Safe),
    rule("SC2197", "fgrep", Info)
        .says(
            "fgrep is non-standard and deprecated. Use grep -F instead",
            "GNU grep 3.8 prints a warning for each use.",
        )
        .shows("FROM alpine:3.22\nRUN fgrep a b\n", "FROM alpine:3.22\nRUN grep -F a b\n")
        .mends(Safe),
    rule("SC3001", "process-substitution", Warning)
        .says("In POSIX sh, process substitution is undefined", NOT_POSIX)
        .shows(
            "FROM debian:13\nRUN diff <(ls a) b\n",
            "FROM debian:13\nSHELL [\"/bin/bash\", \"-c\"]\nRUN diff <(ls a) b\n",
        ),
    rule("SC3009", "brace-expansion", Warning)
        .says("In POSIX sh, brace expansion is undefined", NOT_POSIX)
        .shows("FROM debian:13\nRUN mkdir -p a/{b,c}\n", "FROM debian:13\nRUN mkdir -p a/b a/c\n"),
    rule("SC3010", "double-brackets", Warning)
        .says("In POSIX sh, [[ ]] is undefined", NOT_POSIX)
        .shows("FROM debian:13\nRUN [[ -f a ]] && echo b\n", "FROM debian:13\nRUN [ -f a ] && echo b\n")
        .also(&["SC2039"]),
    rule("SC3011", "here-string", Warning)
        .says("In POSIX sh, here-strings are undefined", NOT_POSIX)
        .shows("FROM debian:13\nRUN cat <<< a\n", "FROM debian:13\nRUN printf '%s\\n' a | cat\n"),
    rule("SC3014", "double-equals", Warning)
        .says("In POSIX sh, == in place of = is undefined", NOT_POSIX)
        .shows(
            "FROM debian:13\nARG A\nRUN [ \"$A\" == b ] && echo c\n",
            "FROM debian:13\nARG A\nRUN [ \"$A\" = b ] && echo c\n",
        )
        .mends(Safe),
    rule("SC3020", "ampersand-redirect", Warning)
        .says("In POSIX sh, &> is undefined", "dash runs it in the background and truncates the file.")
        .shows("FROM debian:13\nRUN make &> log\n", "FROM debian:13\nRUN make > log 2>&1\n")
        .mends(Safe),
    rule("SC3030", "arrays", Warning)
        .says("In POSIX sh, arrays are undefined", NOT_POSIX)
        .shows("FROM debian:13\nRUN a=(b c); echo \"$a\"\n", "FROM debian:13\nRUN a='b c'; echo \"$a\"\n"),
    rule("SC3037", "echo-flags", Warning)
        .says("In POSIX sh, echo flags are undefined", "dash prints the `-e`.")
        .shows("FROM debian:13\nRUN echo -e 'a\\tb'\n", "FROM debian:13\nRUN printf 'a\\tb\\n'\n"),
    rule("SC3040", "set-pipefail", Warning)
        .says("In POSIX sh, set option pipefail is undefined", "Older dashes end with `Illegal option -o pipefail`.")
        .shows(
            "FROM debian:13\nRUN set -o pipefail && a | b\n",
            "FROM debian:13\nSHELL [\"/bin/bash\", \"-o\", \"pipefail\", \"-c\"]\nRUN a | b\n",
        ),
    rule("SC3046", "source", Warning)
        .says("In POSIX sh, 'source' in place of '.' is undefined", NOT_POSIX)
        .shows("FROM debian:13\nRUN source /a && b\n", "FROM debian:13\nRUN . /a && b\n")
        .mends(Safe),
    rule("SC3057", "substring", Warning)
        .says("In POSIX sh, string indexing is undefined", NOT_POSIX)
        .shows("FROM debian:13\nARG A\nRUN echo \"${A:0:3}\"\n", "FROM debian:13\nARG A\nRUN echo \"${A%b}\"\n"),
    rule("SC3060", "string-replacement", Warning)
        .says("In POSIX sh, string replacement is undefined", NOT_POSIX)
        .shows("FROM debian:13\nARG A\nRUN echo \"${A/b/c}\"\n", "FROM debian:13\nARG A\nRUN echo \"${A%b}\"\n"),
];
