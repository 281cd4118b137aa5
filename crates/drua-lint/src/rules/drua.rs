//! Our own rules: Dockerfiles, build contexts, WebAssembly, and several files together.

use super::Family::{Context, Dockerfile, Project, Wasm};
use super::{Family, Rule};
use crate::report::Safety::{Safe, Unsafe};
use crate::report::Severity::{Error, Info, Warning};

const fn rule(family: Family, code: &'static str, name: &'static str, severity: crate::report::Severity) -> Rule {
    Rule::new(family, code, name, severity)
}

const SIGNALS: &str = "`docker stop` sends SIGTERM to process 1 alone. What does not pass it on is killed after ten seconds, in the middle of \
                       whatever it does.";

pub(super) const RULES: &[Rule] = &[
    rule(Dockerfile, "DR0001", "syntax", Error)
        .says(
            "The file must be one that the builder understands",
            "Nothing else can be said about a file with mistakes in its syntax, and it cannot be built.",
        )
        .shows("FROM alpine:3.22\nRUM echo hi\n", "FROM alpine:3.22\nRUN echo hi\n")
        .also(&["DL3043", "DL3061"]),
    rule(Dockerfile, "DR1001", "pin-digest", Info)
        .says("Pin the base image's digest", "A tag can be moved by whoever owns the name; a digest is the image. Mended where the image is known locally.")
        .shows("FROM node:24.11.1\n", "FROM node:24.11.1@sha256:4ad2c2b350ab49fb637ab40a269ffe207c61818bb7eb3a4ea122001a0c605e1f\n")
        .mends(Safe)
        .off(),
    rule(Dockerfile, "DR1002", "end-of-life", Warning)
        .says("The base image's release no longer gets fixes", "Every hole that is found from now on stays open.")
        .shows("FROM python:3.8-slim\n", "FROM python:3.14-slim\n"),
    rule(Dockerfile, "DR1003", "root-user", Warning)
        .says(
            "The image should not run as root",
            "Without USER the program is root in its container, one mistake of the kernel's away from root outside. A numeric USER can be \
             checked by Kubernetes' runAsNonRoot.",
        )
        .shows("FROM node:24\nCOPY app.js /\nCMD [\"node\", \"/app.js\"]\n", "FROM node:24\nCOPY app.js /\nUSER 1000\nCMD [\"node\", \"/app.js\"]\n")
        .mends(Unsafe),
    rule(Dockerfile, "DR1004", "vague-tag", Info)
        .says("The tag should name a release", "`slim`, `lts`, `stable` and `alpine` are other images next year.")
        .shows("FROM node:lts-slim\n", "FROM node:24-slim\n"),
    rule(Dockerfile, "DR1005", "build-tools", Info)
        .says(
            "The final stage should not have compilers",
            "They are hundreds of megabytes that nothing uses once the program runs, except an intruder. Build in a stage of its own and \
             COPY --from the result.",
        )
        .shows(
            "FROM debian:13-slim\nRUN apt-get update && apt-get install -y --no-install-recommends build-essential && rm -rf /var/lib/apt/lists/*\n",
            "FROM debian:13 AS build\nRUN make\nFROM debian:13-slim\nCOPY --from=build /app /app\n",
        ),
    rule(Dockerfile, "DR1006", "single-stage", Info)
        .says("Build in one stage, run in another", "The image keeps the compiler, the sources and what the build downloaded.")
        .shows(
            "FROM golang:1.25\nCOPY . /src\nRUN go build -o /app /src\nCMD [\"/app\"]\n",
            "FROM golang:1.25 AS build\nCOPY . /src\nRUN go build -o /app /src\nFROM scratch\nCOPY --from=build /app /app\nCMD [\"/app\"]\n",
        ),
    rule(Dockerfile, "DR1007", "secret-copied", Error)
        .says("Keys and passwords are not copied", "Whoever can pull the image has them. `RUN --mount=type=secret` leaves nothing behind.")
        .shows("FROM alpine:3.22\nCOPY .npmrc id_rsa /root/\n", "FROM alpine:3.22\nRUN --mount=type=secret,id=npmrc,target=/root/.npmrc true\n"),
    rule(Dockerfile, "DR1008", "secret-literal", Error)
        .says("Keys and passwords are not written down", "It is in the file, in the image's history and in every cache.")
        .shows("FROM alpine:3.22\nENV K=AKIAIOSFODNN7EXAMPLE\n", "FROM alpine:3.22\nRUN --mount=type=secret,id=k,env=K true\n"),
    rule(Dockerfile, "DR1009", "cache-order", Warning)
        .says(
            "Copy what dependencies are declared in, install, then copy the rest",
            "Any change of any file makes COPY a new layer, and everything after it runs again: each build downloads all dependencies.",
        )
        .shows(
            "FROM node:24\nWORKDIR /app\nCOPY . .\nRUN npm ci\n",
            "FROM node:24\nWORKDIR /app\nCOPY package.json package-lock.json ./\nRUN npm ci\nCOPY . .\n",
        ),
    rule(Dockerfile, "DR1010", "npm-as-pid-1", Warning)
        .says("npm, yarn and pnpm should not be the process that is signaled", SIGNALS)
        .shows("FROM node:24\nCMD [\"npm\", \"start\"]\n", "FROM node:24\nCMD [\"node\", \"server.js\"]\n"),
    rule(Dockerfile, "DR1011", "wrapper-without-exec", Warning)
        .says("A shell that starts the program should end with exec", SIGNALS)
        .shows("FROM alpine:3.22\nENTRYPOINT [\"sh\", \"-c\", \"migrate && server\"]\n", "FROM alpine:3.22\nENTRYPOINT [\"sh\", \"-c\", \"migrate && exec server\"]\n")
        .mends(Unsafe),
    rule(Dockerfile, "DR1012", "update-alone", Warning)
        .says("apt-get update and install belong into one RUN", "The layer with the lists is cached for months while the install beside it asks for what is long gone: 404.")
        .shows("FROM debian:13\nRUN apt-get update\nRUN apt-get install -y --no-install-recommends curl\n", "FROM debian:13\nRUN apt-get update && apt-get install -y --no-install-recommends curl && rm -rf /var/lib/apt/lists/*\n"),
    rule(Dockerfile, "DR1013", "platform-download", Info)
        .says("Downloads should follow the target platform", "For arm64 this image is built without an error and does not run. `ARG TARGETARCH` has `amd64` or `arm64`.")
        .shows("FROM debian:13\nRUN curl -fLO https://example.com/tool-linux-amd64.tar.gz\n", "FROM debian:13\nARG TARGETARCH\nRUN curl -fLO https://example.com/tool-linux-${TARGETARCH}.tar.gz\n"),
    rule(Dockerfile, "DR1014", "upgrade", Info)
        .says("Do not upgrade the distribution in a Dockerfile", "What is built depends on the day, and every changed file is stored twice. Take a newer base image.")
        .shows("FROM debian:13\nRUN apt-get update && apt-get upgrade -y && rm -rf /var/lib/apt/lists/*\n", "FROM debian:13.2\nRUN true\n"),
    rule(Dockerfile, "DR1015", "add-without-checksum", Info)
        .says("ADD of an address should have --checksum", "Whoever controls the address, or the way to it, controls the image.")
        .shows("FROM alpine:3.22\nADD https://example.com/a.tar.gz /\n", "FROM alpine:3.22\nADD --checksum=sha256:24454f830cdb571e2c4ad15481119c43b3cafd48dd869a9b2945d1036d1dc68d https://example.com/a.tar.gz /\n"),
    rule(Dockerfile, "DR1016", "pipe-to-shell", Warning)
        .says("Do not run what has just been downloaded", "Nobody has seen it, it changes without notice, and half of it runs when the connection breaks off.")
        .shows("FROM debian:13\nRUN curl -fsSL https://example.com/install.sh | sh\n", "FROM debian:13\nADD --checksum=sha256:24454f830cdb571e2c4ad15481119c43b3cafd48dd869a9b2945d1036d1dc68d https://example.com/install.sh /tmp/\nRUN sh /tmp/install.sh\n"),
    rule(Dockerfile, "DR1017", "world-writable", Warning)
        .says("Files should not be writable for everybody", "Any process in the container can replace what another one runs.")
        .shows("FROM alpine:3.22\nRUN chmod -R 777 /app\n", "FROM alpine:3.22\nRUN chmod -R u=rwX,go=rX /app\n"),
    rule(Dockerfile, "DR1018", "chown-after-copy", Info)
        .says("Use COPY --chown instead of RUN chown", "chown in a layer of its own stores every file a second time.")
        .shows("FROM alpine:3.22\nCOPY app /app\nRUN chown -R 1000 /app\n", "FROM alpine:3.22\nCOPY --chown=1000 app /app\n"),
    rule(Dockerfile, "DR1020", "privileged-port", Info)
        .says("A user that is not root should not need a port below 1024", "Kubernetes and rootless engines refuse it; Docker allows it by a setting of its own.")
        .shows("FROM alpine:3.22\nUSER 1000\nEXPOSE 80\n", "FROM alpine:3.22\nUSER 1000\nEXPOSE 8080\n"),
    rule(Dockerfile, "DR1021", "copy-from-latest", Warning)
        .says("COPY --from an image should name its version", "It is a base image like any other: without a tag it is whatever `latest` is today.")
        .shows("FROM alpine:3.22\nCOPY --from=ghcr.io/astral-sh/uv:latest /uv /bin/\n", "FROM alpine:3.22\nCOPY --from=ghcr.io/astral-sh/uv:0.9.11 /uv /bin/\n"),
    rule(Dockerfile, "DR1023", "insecure-download", Warning)
        .says("Downloads should check certificates", "Whoever is on the way can replace what is downloaded.")
        .shows("FROM debian:13\nRUN curl -fsSLk https://example.com/a -o /a\n", "FROM debian:13\nRUN curl -fsSL https://example.com/a -o /a\n"),
    rule(Dockerfile, "DR1025", "remove-later", Info)
        .says("Remove files in the RUN that makes them", "An earlier layer keeps them: they cannot be seen any more, but are pulled and stored all the same.")
        .shows("FROM alpine:3.22\nCOPY big.tar /tmp/big.tar\nRUN rm /tmp/big.tar\n", "FROM alpine:3.22\nRUN --mount=type=bind,source=big.tar,target=/tmp/big.tar tar xf /tmp/big.tar\n"),
    rule(Dockerfile, "DR1026", "frontend-env", Info)
        .says("DEBIAN_FRONTEND should be an ARG", "As an ENV it is in the container too, where somebody may want to be asked.")
        .shows("FROM debian:13\nENV DEBIAN_FRONTEND=noninteractive\n", "FROM debian:13\nARG DEBIAN_FRONTEND=noninteractive\n")
        .mends(Safe),
    rule(Dockerfile, "DR1027", "unused-stage", Info)
        .says("Every stage should be used", "Nothing that is built needs it. Targets for tests are fine: turn the rule off for them.")
        .shows("FROM alpine:3.22 AS old\nFROM alpine:3.22\n", "FROM alpine:3.22 AS build\nFROM alpine:3.22\nCOPY --from=build /a /a\n")
        .off(),
    rule(Dockerfile, "DR1028", "stop-kill", Warning)
        .says("STOPSIGNAL should be one that can be handled", "SIGKILL cannot be: the program never learns that it is to end.")
        .shows("FROM alpine:3.22\nSTOPSIGNAL SIGKILL\n", "FROM alpine:3.22\nSTOPSIGNAL SIGQUIT\n"),
    rule(Context, "DR2001", "no-dockerignore", Warning)
        .says("There should be a .dockerignore", "Everything in the folder is sent to the builder and copied: history, local settings, what other builds left.")
        .shows("FROM alpine:3.22\nCOPY . /app\n=== files\na\n.git/\n", "FROM alpine:3.22\nCOPY . /app\n=== .dockerignore\n.git\n=== files\na\n.git/\n"),
    rule(Context, "DR2002", "git-in-context", Warning)
        .says(".git should not be copied", "The whole history is in the image, deleted secrets included, and every commit makes the layer a new one.")
        .shows("FROM alpine:3.22\nCOPY . /app\n=== .dockerignore\n*.log\n=== files\na\n.git/\n.git/HEAD\n", "FROM alpine:3.22\nCOPY . /app\n=== .dockerignore\n.git\n=== files\na\n.git/\n")
        .mends(Unsafe),
    rule(Context, "DR2003", "secret-in-context", Error)
        .says("Keys and passwords should not be copied along", "COPY of a folder takes what lies in it; whoever can pull the image has it.")
        .shows("FROM alpine:3.22\nCOPY . /app\n=== .dockerignore\n.git\n=== files\na\n.env\n", "FROM alpine:3.22\nCOPY . /app\n=== .dockerignore\n**/.env\n=== files\na\n.env\n")
        .mends(Unsafe),
    rule(Context, "DR2004", "dependencies-in-context", Warning)
        .says("Installed dependencies should not be copied", "They were made for another machine, and overwrite what the image has installed for itself.")
        .shows("FROM node:24\nCOPY . /app\n=== .dockerignore\n.git\n=== files\nindex.js\nnode_modules/\nnode_modules/a/\n", "FROM node:24\nCOPY . /app\n=== .dockerignore\n**/node_modules\n=== files\nindex.js\nnode_modules/\n")
        .mends(Unsafe),
    rule(Context, "DR2005", "root-only-pattern", Info)
        .says("This pattern matches at the root alone", "In .gitignore `*.log` means every folder; in .dockerignore only the first. `**/*.log` means all.")
        .shows("FROM alpine:3.22\nCOPY . /app\n=== .dockerignore\n*.log\n=== files\na.log\nb/\nb/c.log\n", "FROM alpine:3.22\nCOPY . /app\n=== .dockerignore\n**/*.log\n=== files\na.log\nb/\nb/c.log\n")
        .mends(Unsafe),
    rule(Context, "DR2006", "large-file", Info)
        .says("Large files are copied along", "They are in the layer whether the program reads them or not.")
        .shows("FROM alpine:3.22\nCOPY . /app\n=== .dockerignore\n.git\n=== files\na\ndump.sql 300000000\n", "FROM alpine:3.22\nCOPY . /app\n=== .dockerignore\ndump.sql\n=== files\na\ndump.sql 300000000\n"),
    rule(Context, "DR2007", "bad-pattern", Error)
        .says("A pattern cannot be read", "The builder refuses the whole file.")
        .shows("FROM alpine:3.22\nCOPY . /app\n=== .dockerignore\na[\n", "FROM alpine:3.22\nCOPY . /app\n=== .dockerignore\na[bc]\n"),
    rule(Context, "DR2008", "missing-source", Error)
        .says("What is copied must be there", "The build ends with `not found`.")
        .shows("FROM alpine:3.22\nCOPY requirments.txt /app/\n=== files\nrequirements.txt\n", "FROM alpine:3.22\nCOPY requirements.txt /app/\n=== files\nrequirements.txt\n")
        .mends(Unsafe),
    rule(Wasm, "DR3001", "wasm-on-linux", Warning)
        .says("An image that only runs a .wasm needs no Linux", "The module brings all that it needs: `FROM scratch` is megabytes smaller, and is started as WebAssembly on its own.")
        .shows("FROM debian:13\nCOPY app.wasm /app.wasm\nENTRYPOINT [\"/app.wasm\"]\n", "FROM scratch\nCOPY app.wasm /app.wasm\nENTRYPOINT [\"/app.wasm\"]\n"),
    rule(Wasm, "DR3002", "wasm-platform", Warning)
        .says("A WebAssembly service should say platform: wasi/wasm", "Without it the image says that it is for Linux, and engines that believe images start it as a Linux program.")
        .shows(
            "FROM scratch\nCOPY app.wasm /app.wasm\nENTRYPOINT [\"/app.wasm\"]\n=== compose.yaml\nservices:\n  app:\n    build: .\n",
            "FROM scratch\nCOPY app.wasm /app.wasm\nENTRYPOINT [\"/app.wasm\"]\n=== compose.yaml\nservices:\n  app:\n    build: .\n    platform: wasi/wasm\n",
        )
        .mends(Safe),
    rule(Wasm, "DR3003", "shell-in-wasm", Error)
        .says("There is no shell in a WebAssembly image", "RUN, shell forms and HEALTHCHECK need a program that can be started beside the module; there is none.")
        .shows("FROM scratch\nCOPY app.wasm /app.wasm\nENTRYPOINT /app.wasm\n", "FROM scratch\nCOPY app.wasm /app.wasm\nENTRYPOINT [\"/app.wasm\"]\n"),
    rule(Wasm, "DR3004", "old-wasm-target", Error)
        .says("wasm32-wasi is now called wasm32-wasip1", "Rust 1.84 has removed the old name.")
        .shows("FROM rust:1.91 AS build\nRUN cargo build --target wasm32-wasi\nFROM scratch\n", "FROM rust:1.91 AS build\nRUN cargo build --target wasm32-wasip1\nFROM scratch\n")
        .mends(Safe),
    rule(Project, "DR4001", "port-not-exposed", Warning)
        .says("Published ports should be those that the image exposes", "Usually one of the two numbers is a mistake, and nothing answers.")
        .shows(
            "FROM alpine:3.22\nEXPOSE 8080\n=== compose.yaml\nservices:\n  web:\n    build: .\n    ports: [\"127.0.0.1:80:3000\"]\n",
            "FROM alpine:3.22\nEXPOSE 8080\n=== compose.yaml\nservices:\n  web:\n    build: .\n    ports: [\"127.0.0.1:80:8080\"]\n",
        ),
    rule(Project, "DR4002", "never-healthy", Error)
        .says("service_healthy needs a health check", "A service without one never becomes healthy, and what waits for it never starts.")
        .shows(
            "FROM alpine:3.22\n=== compose.yaml\nservices:\n  db:\n    build: .\n  web:\n    image: nginx:1.29\n    depends_on:\n      db:\n        condition: service_healthy\n",
            "FROM alpine:3.22\nHEALTHCHECK CMD [\"true\"]\n=== compose.yaml\nservices:\n  db:\n    build: .\n  web:\n    image: nginx:1.29\n    depends_on:\n      db:\n        condition: service_healthy\n",
        ),
    rule(Project, "DR4003", "unknown-target", Error)
        .says("build.target must be a stage", "The build ends with `target stage could not be found`.")
        .shows(
            "FROM alpine:3.22 AS production\n=== compose.yaml\nservices:\n  web:\n    build:\n      context: .\n      target: prodution\n",
            "FROM alpine:3.22 AS production\n=== compose.yaml\nservices:\n  web:\n    build:\n      context: .\n      target: production\n",
        )
        .mends(Unsafe),
    rule(Project, "DR4004", "unknown-build-arg", Warning)
        .says("build.args must be declared by ARG", "The value reaches nobody, in silence.")
        .shows(
            "FROM alpine:3.22\nARG VERSION\n=== compose.yaml\nservices:\n  web:\n    build:\n      context: .\n      args:\n        VERSOIN: \"1\"\n",
            "FROM alpine:3.22\nARG VERSION\n=== compose.yaml\nservices:\n  web:\n    build:\n      context: .\n      args:\n        VERSION: \"1\"\n",
        )
        .mends(Unsafe),
    rule(Project, "DR4005", "watch-elsewhere", Warning)
        .says("Watch should sync to where COPY puts the files", "Changed files land where nobody reads them.")
        .shows(
            "FROM node:24\nWORKDIR /app\nCOPY . .\n=== compose.yaml\nservices:\n  web:\n    build: .\n    develop:\n      watch:\n        - {action: sync, path: ., target: /src}\n",
            "FROM node:24\nWORKDIR /app\nCOPY . .\n=== compose.yaml\nservices:\n  web:\n    build: .\n    develop:\n      watch:\n        - {action: sync, path: ., target: /app}\n",
        ),
    rule(Project, "DR4006", "watch-owner", Warning)
        .says("What watch syncs must belong to the container's user", "Files are written as the container's USER, who may not replace what COPY has made root's.")
        .shows(
            "FROM node:24\nWORKDIR /app\nCOPY . .\nUSER node\n=== compose.yaml\nservices:\n  web:\n    build: .\n    develop:\n      watch:\n        - {action: sync, path: ., target: /app}\n",
            "FROM node:24\nWORKDIR /app\nCOPY --chown=node . .\nUSER node\n=== compose.yaml\nservices:\n  web:\n    build: .\n    develop:\n      watch:\n        - {action: sync, path: ., target: /app}\n",
        ),
    rule(Project, "DR4007", "mount-hides-build", Warning)
        .says("A bind mount hides what the build has made", "The folder of the host takes the place of the image's: what RUN has installed there is gone.")
        .shows(
            "FROM node:24\nWORKDIR /app\nCOPY package.json ./\nRUN npm ci\n=== compose.yaml\nservices:\n  web:\n    build: .\n    volumes: [\".:/app\"]\n",
            "FROM node:24\nWORKDIR /app\nCOPY package.json ./\nRUN npm ci\n=== compose.yaml\nservices:\n  web:\n    build: .\n    volumes: [\".:/app\", \"/app/node_modules\"]\n",
        ),
    rule(Project, "DR4008", "watch-ignored", Warning)
        .says("Watch leaves out what .dockerignore names", "The rule never does anything.")
        .shows(
            "FROM node:24\nWORKDIR /app\nCOPY . .\n=== .dockerignore\nsrc\n=== compose.yaml\nservices:\n  web:\n    build: .\n    develop:\n      watch:\n        - {action: sync, path: ./src, target: /app/src}\n",
            "FROM node:24\nWORKDIR /app\nCOPY . .\n=== .dockerignore\ndist\n=== compose.yaml\nservices:\n  web:\n    build: .\n    develop:\n      watch:\n        - {action: sync, path: ./src, target: /app/src}\n",
        ),
    rule(Project, "DR4010", "check-without-tool", Warning)
        .says("The health check's program must be in the image", "It fails for ever with `not found`, and the service is never healthy.")
        .shows(
            "FROM alpine:3.22\nCMD [\"/app\"]\n=== compose.yaml\nservices:\n  web:\n    build: .\n    healthcheck:\n      test: [CMD, curl, -f, \"http://localhost/\"]\n",
            "FROM alpine:3.22\nCMD [\"/app\"]\n=== compose.yaml\nservices:\n  web:\n    build: .\n    healthcheck:\n      test: [CMD, wget, -q, -O-, \"http://localhost/\"]\n",
        ),
];
