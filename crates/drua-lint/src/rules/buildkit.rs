//! BuildKit's 22 checks. Names and what they find are those of `docker build --check`.

use super::Family::BuildKit;
use super::Rule;
use crate::report::Safety::{Safe, Unsafe};
use crate::report::Severity::{Error, Info, Style, Warning};

const fn rule(name: &'static str, severity: crate::report::Severity) -> Rule {
    Rule::new(BuildKit, name, name, severity)
}

pub(super) const RULES: &[Rule] = &[
    rule("StageNameCasing", Style)
        .says(
            "Stage names should be lowercase",
            "Names of stages are compared in lower case, so `Builder` and `builder` are one stage; writing it in one way says so.",
        )
        .shows("FROM alpine:3.22 AS Builder\n", "FROM alpine:3.22 AS builder\n")
        .mends(Safe),
    rule("FromAsCasing", Style)
        .says(
            "The 'as' keyword should match the case of the 'from' keyword",
            "`FROM` and `AS` are one instruction; two spellings in one line read as an accident.",
        )
        .shows("FROM alpine:3.22 as builder\n", "FROM alpine:3.22 AS builder\n")
        .mends(Safe),
    rule("NoEmptyContinuation", Error)
        .says(
            "Empty continuation lines will become errors in a future release",
            "After a line that ends with the escape character an empty line is skipped in silence. Whoever reads it believes \
             that the command ends there.",
        )
        .shows("FROM alpine:3.22\nRUN echo a && \\\n\n    echo b\n", "FROM alpine:3.22\nRUN echo a && \\\n    echo b\n")
        .mends(Safe),
    rule("ConsistentInstructionCasing", Style)
        .says(
            "All commands within the Dockerfile should use the same casing (either upper or lower)",
            "Instructions are found by eye, by their shape at the beginning of a line.",
        )
        .shows("FROM alpine:3.22\nRUN a\nrun b\n", "FROM alpine:3.22\nRUN a\nRUN b\n")
        .mends(Safe),
    rule("DuplicateStageName", Error)
        .says(
            "Stage names should be unique",
            "COPY --from and --target take the last stage of that name, and the earlier one can be reached by number only.",
        )
        .shows("FROM alpine:3.22 AS a\nFROM alpine:3.21 AS a\n", "FROM alpine:3.22 AS a\nFROM alpine:3.21 AS b\n")
        .also(&["DL3024"]),
    rule("ReservedStageName", Error)
        .says(
            "Reserved words should not be used as stage names",
            "`context` and `scratch` mean something of their own in FROM and --from; a stage of that name cannot be used.",
        )
        .shows("FROM alpine:3.22 AS scratch\n", "FROM alpine:3.22 AS base\n")
        .also(&["DL3063"]),
    rule("JSONArgsRecommended", Warning)
        .says(
            "JSON arguments recommended for ENTRYPOINT/CMD to prevent unintended behavior related to OS signals",
            "A text is run as `/bin/sh -c \"…\"`: the shell is process 1, passes no signals on, and `docker stop` waits ten \
             seconds and then kills. A JSON array is run as it is.",
        )
        .shows("FROM alpine:3.22\nCMD nginx -g \"daemon off;\"\n", "FROM alpine:3.22\nCMD [\"nginx\", \"-g\", \"daemon off;\"]\n")
        .also(&["DL3025"])
        .mends(Unsafe),
    rule("MaintainerDeprecated", Warning)
        .says(
            "The MAINTAINER instruction is deprecated, use a label instead to define an image author",
            "MAINTAINER sets a field that nothing reads any more. A label can be queried and is kept by every tool.",
        )
        .shows(
            "FROM alpine:3.22\nMAINTAINER moby@example.com\n",
            "FROM alpine:3.22\nLABEL org.opencontainers.image.authors=\"moby@example.com\"\n",
        )
        .also(&["DL4000"])
        .mends(Safe),
    rule("UndefinedArgInFrom", Error)
        .says(
            "FROM command must use declared ARGs",
            "FROM sees only the ARGs before the first FROM and the platform's. Any other variable is empty, and the name of the \
             image is not what was meant.",
        )
        .shows("FROM node:22${VARIANT}\n", "ARG VARIANT=-slim\nFROM node:22${VARIANT}\n"),
    rule("WorkdirRelativePath", Warning)
        .says(
            "Relative workdir without an absolute workdir declared within the build can have unexpected results if the base image changes",
            "A relative WORKDIR continues the base image's, which its authors may change.",
        )
        .shows("FROM nginx:1.29\nWORKDIR usr/share/nginx/html\n", "FROM nginx:1.29\nWORKDIR /usr/share/nginx/html\n"),
    rule("UndefinedVar", Warning)
        .says(
            "Variables should be defined before their use",
            "A variable that nobody defines expands to nothing, in silence. Often it is a misspelling, or an ARG that stands before \
             FROM and was not declared again in the stage.",
        )
        .shows("FROM alpine:3.22\nARG foo\nCOPY $fooo .\n", "FROM alpine:3.22\nARG foo\nCOPY $foo .\n"),
    rule("MultipleInstructionsDisallowed", Warning)
        .says(
            "Multiple instructions of the same type should not be used in the same stage",
            "Of CMD, ENTRYPOINT and HEALTHCHECK only the last one counts; the others do nothing and mislead.",
        )
        .shows(
            "FROM alpine:3.22\nCMD [\"a\"]\nCMD [\"b\"]\n",
            "FROM alpine:3.22\nCMD [\"b\"]\n",
        )
        .also(&["DL4003", "DL4004", "DL3012"])
        .mends(Safe),
    rule("LegacyKeyValueFormat", Style)
        .says(
            "Legacy key/value format with whitespace separator should not be used",
            "`ENV a b c` is one variable with the value `b c`, whatever one may think that it is.",
        )
        .shows("FROM alpine:3.22\nENV DIR /bin\n", "FROM alpine:3.22\nENV DIR=/bin\n")
        .mends(Safe),
    rule("InvalidBaseImagePlatform", Error)
        .says(
            "Base image platform does not match expected target platform",
            "The image that is here was made for another machine: its programs run emulated, or not at all. Found only where the \
             base image is known locally.",
        )
        .shows(
            "FROM --platform=linux/riscv64 known-amd64-image\n",
            "FROM known-amd64-image\n",
        ),
    rule("RedundantTargetPlatform", Style)
        .says(
            "Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the default behavior",
            "Without --platform the base image is that of the target platform already.",
        )
        .shows("FROM --platform=$TARGETPLATFORM alpine:3.22\n", "FROM alpine:3.22\n")
        .also(&["DL3065"])
        .mends(Safe),
    rule("SecretsUsedInArgOrEnv", Warning)
        .says(
            "Sensitive data should not be used in the ARG or ENV commands",
            "ENV is in the image's configuration and ARG in its history: whoever can pull the image can read both. \
             `RUN --mount=type=secret` leaves nothing behind.",
        )
        .shows(
            "FROM scratch\nARG AWS_SECRET_ACCESS_KEY\n",
            "FROM alpine:3.22\nRUN --mount=type=secret,id=aws cat /run/secrets/aws\n",
        )
        .also(&["DL3064"]),
    rule("InvalidDefaultArgInFrom", Warning)
        .says(
            "Default value for global ARG results in an empty or invalid base image name",
            "Without --build-arg the build ends at once. A default makes the file build as it stands.",
        )
        .shows("ARG TAG\nFROM busybox:${TAG}\n", "ARG TAG=1.37\nFROM busybox:${TAG}\n"),
    rule("FromPlatformFlagConstDisallowed", Warning)
        .says(
            "FROM --platform flag should not use a constant value",
            "The stage is always of that platform, whichever one is being built. For the machine that builds it is \
             `$BUILDPLATFORM`; for the target, nothing.",
        )
        .shows(
            "FROM --platform=linux/amd64 alpine:3.22\n",
            "FROM --platform=$BUILDPLATFORM alpine:3.22 AS build\n",
        )
        .also(&["DL3029"]),
    rule("CopyIgnoredFile", Error)
        .says(
            "Attempting to Copy file that is excluded by .dockerignore",
            "The file never reaches the builder, and the build ends with `not found`.",
        )
        .shows(
            "FROM scratch\nCOPY ./tmp/helloworld.txt /\n=== .dockerignore\ntmp\n",
            "FROM scratch\nCOPY ./forever/helloworld.txt /\n=== .dockerignore\ntmp\n",
        ),
    rule("InvalidDefinitionDescription", Info)
        .says(
            "Comment for build stage or argument should follow the format: `# <arg/stage name> <description>`",
            "`docker build --call outline` shows such comments as descriptions. One that is not meant as a description is kept \
             apart by an empty line with a `#`.",
        )
        .shows(
            "# a base for everything\nFROM alpine:3.22 AS base\n",
            "# base is what everything stands on\nFROM alpine:3.22 AS base\n",
        )
        .off(),
    rule("ExposeProtoCasing", Style)
        .says(
            "Protocol in EXPOSE instruction should be lowercase",
            "Tools that read the image's configuration know `tcp` and `udp`.",
        )
        .shows("FROM alpine:3.22\nEXPOSE 80/TcP\n", "FROM alpine:3.22\nEXPOSE 80/tcp\n")
        .mends(Safe),
    rule("ExposeInvalidFormat", Error)
        .says(
            "IP address and host-port mapping should not be used in EXPOSE instruction. This will become an error in a future release",
            "EXPOSE says which port the program listens on. Where it is published is said by `docker run -p` or the compose file.",
        )
        .shows("FROM alpine:3.22\nEXPOSE 127.0.0.1:80:80\n", "FROM alpine:3.22\nEXPOSE 80\n")
        .mends(Safe),
];
