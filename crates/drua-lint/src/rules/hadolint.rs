//! hadolint's rules under its codes, written anew from what they are documented to find. Those that BuildKit checks as well are
//! aliases of BuildKit's.

use super::Family::Hadolint;
use super::Rule;
use crate::report::Safety::{Safe, Unsafe};
use crate::report::Severity::{Error, Info, Style, Warning};

const fn rule(code: &'static str, name: &'static str, severity: crate::report::Severity) -> Rule {
    Rule::new(Hadolint, code, name, severity)
}

const PIN: &str = "Without a version tomorrow's build is another one than today's, and nobody can say what changed.";
const NOT_INTERACTIVE: &str = "Nobody can answer the question while an image is built, so the build ends.";
const CACHE: &str = "What one RUN leaves behind stays in its layer for ever, whatever a later one removes.";

pub(super) const RULES: &[Rule] = &[
    rule("DL1001", "inline-ignore", Info)
        .says("Comments should not silence findings", "For projects in which exceptions stand in the configuration, where all can see them.")
        .shows("FROM alpine:3.22\n# hadolint ignore=DL3018\nRUN apk add --no-cache curl\n", "FROM alpine:3.22\nRUN echo hi\n")
        .off(),
    rule("DL3000", "absolute-workdir", Error)
        .says("Use absolute WORKDIR", "A relative one depends on every WORKDIR before it, the base image's included.")
        .shows("FROM busybox:1.37\nWORKDIR /a\nWORKDIR b\n", "FROM busybox:1.37\nWORKDIR /a/b\n"),
    rule("DL3001", "pointless-command", Info)
        .says(
            "For some bash commands it makes no sense running them in a Docker container",
            "ssh, vim, shutdown, service, ps, free, top, kill, mount and ifconfig manage a machine; while an image is built there is none.",
        )
        .shows("FROM busybox:1.37\nRUN top -n 1\n", "FROM busybox:1.37\nRUN echo hi\n"),
    rule("DL3002", "last-user-root", Warning)
        .says(
            "Last USER should not be root",
            "A process that breaks out of its program is root in the container, one mistake of the kernel's away from root outside.",
        )
        .shows("FROM busybox:1.37\nUSER root\nRUN something\n", "FROM busybox:1.37\nUSER root\nRUN something\nUSER 10001\n"),
    rule("DL3003", "workdir-not-cd", Warning)
        .says("Use WORKDIR to switch to a directory", "`cd` is forgotten at the end of its RUN; WORKDIR is kept and seen by everybody.")
        .shows("FROM busybox:1.37\nRUN cd /usr/src && make\n", "FROM busybox:1.37\nWORKDIR /usr/src\nRUN make\n"),
    rule("DL3004", "no-sudo", Error)
        .says("Do not use sudo as it leads to unpredictable behavior", "RUN is root unless USER says otherwise; sudo changes the environment and does not pass on signals.")
        .shows("FROM busybox:1.37\nRUN sudo make install\n", "FROM busybox:1.37\nRUN make install\n")
        .mends(Unsafe),
    rule("DL3006", "untagged-image", Warning)
        .says("Always tag the version of an image explicitly", PIN)
        .shows("FROM debian\n", "FROM debian:13\n"),
    rule("DL3007", "latest-tag", Warning)
        .says("Using latest is prone to errors if the image will ever update. Pin the version explicitly to a release tag", PIN)
        .shows("FROM debian:latest\n", "FROM debian:13\n"),
    rule("DL3008", "pin-apt", Warning)
        .says("Pin versions in apt-get install", PIN)
        .shows("FROM debian:13\nRUN apt-get install -y --no-install-recommends nginx\n", "FROM debian:13\nRUN apt-get install -y --no-install-recommends nginx=1.26.*\n"),
    rule("DL3009", "apt-lists", Info)
        .says("Delete the apt lists (/var/lib/apt/lists) after installing something", CACHE)
        .shows(
            "FROM debian:13\nRUN apt-get update && apt-get install -y --no-install-recommends nginx=1.26.*\n",
            "FROM debian:13\nRUN apt-get update && apt-get install -y --no-install-recommends nginx=1.26.* && rm -rf /var/lib/apt/lists/*\n",
        )
        .mends(Safe),
    rule("DL3010", "add-archives", Info)
        .says("Use ADD for extracting archives into an image", "COPY and tar make two layers, one of which holds the archive for ever; ADD unpacks while it copies.")
        .shows("FROM alpine:3.22\nCOPY rootfs.tar.xz /\nRUN tar xf rootfs.tar.xz\n", "FROM alpine:3.22\nADD rootfs.tar.xz /\n"),
    rule("DL3011", "valid-port", Error)
        .says("Valid UNIX ports range from 0 to 65535", "There is no such port.")
        .shows("FROM busybox:1.37\nEXPOSE 80000\n", "FROM busybox:1.37\nEXPOSE 8000\n"),
    rule("DL3013", "pin-pip", Warning)
        .says("Pin versions in pip", PIN)
        .shows("FROM python:3.14\nRUN pip install --no-cache-dir django\n", "FROM python:3.14\nRUN pip install --no-cache-dir django==5.2\n"),
    rule("DL3014", "apt-yes", Warning)
        .says("Use the -y switch to avoid manual input `apt-get -y install <package>`", NOT_INTERACTIVE)
        .shows("FROM debian:13\nRUN apt-get install python3=3.13.*\n", "FROM debian:13\nRUN apt-get install -y python3=3.13.*\n")
        .mends(Safe),
    rule("DL3015", "no-recommends", Info)
        .says("Avoid additional packages by specifying --no-install-recommends", "Recommended packages are often more than what was asked for: manuals, servers, compilers.")
        .shows("FROM debian:13\nRUN apt-get install -y python3=3.13.*\n", "FROM debian:13\nRUN apt-get install -y --no-install-recommends python3=3.13.*\n")
        .mends(Unsafe),
    rule("DL3016", "pin-npm", Warning)
        .says("Pin versions in npm", PIN)
        .shows("FROM node:24\nRUN npm install express\n", "FROM node:24\nRUN npm install express@5.1.0\n"),
    rule("DL3018", "pin-apk", Warning)
        .says("Pin versions in apk add", PIN)
        .shows("FROM alpine:3.22\nRUN apk add --no-cache curl\n", "FROM alpine:3.22\nRUN apk add --no-cache curl=~8.14\n"),
    rule("DL3019", "apk-no-cache", Info)
        .says("Use the --no-cache switch to avoid the need to use --update and remove /var/cache/apk/* when done installing packages", CACHE)
        .shows("FROM alpine:3.22\nRUN apk update && apk add curl=~8.14\n", "FROM alpine:3.22\nRUN apk add --no-cache curl=~8.14\n")
        .mends(Safe),
    rule("DL3020", "copy-not-add", Error)
        .says("Use COPY instead of ADD for files and folders", "ADD unpacks archives and fetches addresses; for what is to be neither, COPY says so and cannot surprise.")
        .shows("FROM python:3.14\nADD requirements.txt /usr/src/app/\n", "FROM python:3.14\nCOPY requirements.txt /usr/src/app/\n")
        .mends(Safe),
    rule("DL3021", "copy-many-to-folder", Error)
        .says("COPY with more than 2 arguments requires the last argument to end with /", "Without the slash it is a file, and the build ends.")
        .shows("FROM node:24\nCOPY package.json yarn.lock my_app\n", "FROM node:24\nCOPY package.json yarn.lock /my_app/\n")
        .mends(Safe),
    rule("DL3022", "copy-from-unknown", Warning)
        .says("COPY --from should reference a previously defined FROM alias", "What is no stage is pulled as an image, from whoever owns that name.")
        .shows("FROM debian:13\nCOPY --from=build some stuff ./\n", "FROM debian:13 AS build\nRUN stuff\nFROM debian:13\nWORKDIR /x\nCOPY --from=build some stuff ./\n"),
    rule("DL3023", "copy-from-itself", Error)
        .says("COPY --from cannot reference its own FROM alias", "A stage is finished only after its last instruction.")
        .shows("FROM node:24 AS foo\nCOPY --from=foo bar .\n", "FROM node:24 AS foo\nRUN baz\nFROM node:24 AS boo\nWORKDIR /x\nCOPY --from=foo bar .\n"),
    rule("DL3026", "untrusted-registry", Error)
        .says("Use only an allowed registry in the FROM image", "The configuration's `trusted-registries` says which.")
        .shows("FROM randomguy/python:3.14\n", "FROM registry.example.com/python:3.14\n"),
    rule("DL3027", "apt-get-not-apt", Warning)
        .says("Do not use apt as it is meant to be an end-user tool, use apt-get or apt-cache instead", "Its options and output may change with every release.")
        .shows("FROM debian:13\nRUN apt install -y curl=8.14.*\n", "FROM debian:13\nRUN apt-get install -y --no-install-recommends curl=8.14.*\n")
        .mends(Safe),
    rule("DL3028", "pin-gem", Warning)
        .says("Pin versions in gem install. Instead of `gem install <gem>` use `gem install <gem>:<version>`", PIN)
        .shows("FROM ruby:3.4\nRUN gem install bundler\n", "FROM ruby:3.4\nRUN gem install bundler:2.7.2\n"),
    rule("DL3030", "yum-yes", Warning)
        .says("Use the -y switch to avoid manual input `yum install -y <package>`", NOT_INTERACTIVE)
        .shows("FROM rockylinux:9\nRUN yum install httpd-2.4 && yum clean all\n", "FROM rockylinux:9\nRUN yum install -y httpd-2.4 && yum clean all\n")
        .mends(Safe),
    rule("DL3032", "yum-clean", Warning)
        .says("`yum clean all` missing after yum command", CACHE)
        .shows("FROM rockylinux:9\nRUN yum install -y httpd-2.4\n", "FROM rockylinux:9\nRUN yum install -y httpd-2.4 && yum clean all\n")
        .mends(Safe),
    rule("DL3033", "pin-yum", Warning)
        .says("Specify version with `yum install -y <package>-<version>`", PIN)
        .shows("FROM rockylinux:9\nRUN yum install -y httpd && yum clean all\n", "FROM rockylinux:9\nRUN yum install -y httpd-2.4.62 && yum clean all\n"),
    rule("DL3034", "zypper-yes", Warning)
        .says("Non-interactive switch missing from zypper command: `zypper install -y`", NOT_INTERACTIVE)
        .shows("FROM opensuse/leap:15.6\nRUN zypper install httpd=2.4 && zypper clean\n", "FROM opensuse/leap:15.6\nRUN zypper install -y httpd=2.4 && zypper clean\n")
        .mends(Safe),
    rule("DL3035", "zypper-upgrade", Warning)
        .says("Do not use `zypper dist-upgrade`", "It replaces the release that FROM names by another one.")
        .shows("FROM opensuse/leap:15.6\nRUN zypper -n dist-upgrade && zypper clean\n", "FROM opensuse/leap:15.6\nRUN zypper -n install httpd=2.4 && zypper clean\n"),
    rule("DL3036", "zypper-clean", Warning)
        .says("`zypper clean` missing after zypper use", CACHE)
        .shows("FROM opensuse/leap:15.6\nRUN zypper install -y httpd=2.4\n", "FROM opensuse/leap:15.6\nRUN zypper install -y httpd=2.4 && zypper clean\n")
        .mends(Safe),
    rule("DL3037", "pin-zypper", Warning)
        .says("Specify version with `zypper install -y <package>=<version>`", PIN)
        .shows("FROM opensuse/leap:15.6\nRUN zypper install -y httpd && zypper clean\n", "FROM opensuse/leap:15.6\nRUN zypper install -y httpd=2.4 && zypper clean\n"),
    rule("DL3038", "dnf-yes", Warning)
        .says("Use the -y switch to avoid manual input `dnf install -y <package>`", NOT_INTERACTIVE)
        .shows("FROM fedora:43\nRUN dnf install httpd-2.4 && dnf clean all\n", "FROM fedora:43\nRUN dnf install -y httpd-2.4 && dnf clean all\n")
        .mends(Safe),
    rule("DL3040", "dnf-clean", Warning)
        .says("`dnf clean all` missing after dnf command", CACHE)
        .shows("FROM fedora:43\nRUN dnf install -y httpd-2.4\n", "FROM fedora:43\nRUN dnf install -y httpd-2.4 && dnf clean all\n")
        .mends(Safe),
    rule("DL3041", "pin-dnf", Warning)
        .says("Specify version with `dnf install -y <package>-<version>`", PIN)
        .shows("FROM fedora:43\nRUN dnf install -y httpd && dnf clean all\n", "FROM fedora:43\nRUN dnf install -y httpd-2.4.63 && dnf clean all\n"),
    rule("DL3042", "pip-no-cache", Warning)
        .says("Avoid use of cache directory with pip. Use `pip install --no-cache-dir <package>`", CACHE)
        .shows("FROM python:3.14\nRUN pip install flask==3.1\n", "FROM python:3.14\nRUN pip install --no-cache-dir flask==3.1\n")
        .mends(Safe),
    rule("DL3044", "env-self-reference", Error)
        .says("Do not refer to an environment variable within the same ENV statement where it is defined", "All values of one ENV are expanded before any of them is set.")
        .shows("FROM busybox:1.37\nENV FOO=bar BAZ=${FOO}/bla\n", "FROM busybox:1.37\nENV FOO=bar\nENV BAZ=${FOO}/bla\n"),
    rule("DL3045", "copy-without-workdir", Warning)
        .says("COPY to a relative destination without WORKDIR set", "Where it lands depends on the base image.")
        .shows("FROM scratch\nCOPY foo bar\n", "FROM scratch\nWORKDIR /\nCOPY foo bar\n"),
    rule("DL3046", "useradd-high-uid", Warning)
        .says("`useradd` without flag `-l` and high UID will result in excessively large Image", "Without -l a sparse log is written that is as long as the UID is high; layers store every byte of it.")
        .shows("FROM debian:13\nRUN useradd -u 123456 foobar\n", "FROM debian:13\nRUN useradd -l -u 123456 foobar\n")
        .mends(Safe),
    rule("DL3047", "wget-progress", Info)
        .says("Avoid use of wget without progress bar. Use `wget --progress=dot:giga <url>`", "Its bar redraws itself; a build's log keeps every redraw.")
        .shows("FROM debian:13\nRUN wget https://example.com/big_file.tar\n", "FROM debian:13\nRUN wget --progress=dot:giga https://example.com/big_file.tar\n")
        .mends(Safe),
    rule("DL3048", "label-key", Style)
        .says("Invalid Label Key", "Keys are lower-case letters, digits, dots and dashes; some prefixes are Docker's own.")
        .shows("FROM busybox:1.37\nLABEL +?not..valid--key=\"foo\"\n", "FROM busybox:1.37\nLABEL org.example.key=\"foo\"\n"),
    rule("DL3049", "label-missing", Info)
        .says("A required label is missing", "The configuration's `labels` says which there must be.")
        .shows("FROM busybox:1.37\n", "FROM busybox:1.37\nLABEL l.text=a l.url=https://example.com l.time=2026-01-01T00:00:00Z l.license=MIT l.commit=93a1b8ee7a5ae5cc4ed2b1b5ad0c48f8c0d1f0ab l.version=1.0.0 l.mail=a@example.com\n"),
    rule("DL3050", "label-superfluous", Info)
        .says("Superfluous label(s) present", "The configuration allows only the labels that it lists.")
        .shows("FROM busybox:1.37\nLABEL other=\"bar\"\n", "FROM busybox:1.37\nLABEL l.text=\"bar\"\n"),
    rule("DL3051", "label-empty", Warning)
        .says("A label is empty", "The configuration wants a text there.")
        .shows("FROM busybox:1.37\nLABEL l.text=\"\"\n", "FROM busybox:1.37\nLABEL l.text=\"a\"\n"),
    rule("DL3052", "label-url", Warning)
        .says("A label is not a valid URL", "The configuration wants a URL there.")
        .shows("FROM busybox:1.37\nLABEL l.url=\"not-url\"\n", "FROM busybox:1.37\nLABEL l.url=\"https://example.com/\"\n"),
    rule("DL3053", "label-time", Warning)
        .says("A label is not a valid time format - must conform to RFC3339", "The configuration wants a date and time there.")
        .shows("FROM busybox:1.37\nLABEL l.time=\"07/26/2026\"\n", "FROM busybox:1.37\nLABEL l.time=\"2026-07-26T14:23:00Z\"\n"),
    rule("DL3054", "label-license", Warning)
        .says("A label is not a valid SPDX identifier", "The configuration wants an SPDX license expression there.")
        .shows("FROM busybox:1.37\nLABEL l.license=\"not a license\"\n", "FROM busybox:1.37\nLABEL l.license=\"MIT OR Apache-2.0\"\n"),
    rule("DL3055", "label-commit", Warning)
        .says("A label is not a valid git hash", "The configuration wants a commit there.")
        .shows("FROM busybox:1.37\nLABEL l.commit=\"not-git-hash\"\n", "FROM busybox:1.37\nLABEL l.commit=\"93a1b8e\"\n"),
    rule("DL3056", "label-version", Warning)
        .says("A label does not conform to semantic versioning", "The configuration wants a semantic version there.")
        .shows("FROM busybox:1.37\nLABEL l.version=\"not-semver\"\n", "FROM busybox:1.37\nLABEL l.version=\"1.0.0-rc.1\"\n"),
    rule("DL3057", "healthcheck-missing", Info)
        .says("HEALTHCHECK instruction missing", "Without one `depends_on: service_healthy` never comes true, and a process that hangs is taken for one that works.")
        .shows("FROM busybox:1.37\n", "FROM busybox:1.37\nHEALTHCHECK CMD [\"/bin/health\"]\n")
        .off(),
    rule("DL3058", "label-email", Warning)
        .says("A label is not a valid email format - must conform to RFC5322", "The configuration wants an address there.")
        .shows("FROM busybox:1.37\nLABEL l.mail=\"not-email\"\n", "FROM busybox:1.37\nLABEL l.mail=\"abcd@example.com\"\n"),
    rule("DL3059", "consecutive-run", Info)
        .says("Multiple consecutive `RUN` instructions. Consider consolidation", "Each RUN is a layer, and what a later one removes stays in the earlier one.")
        .shows("FROM busybox:1.37\nRUN a\nRUN b\n", "FROM busybox:1.37\nRUN a && b\n"),
    rule("DL3060", "yarn-cache", Info)
        .says("`yarn cache clean` missing after `yarn install` was run", CACHE)
        .shows("FROM node:24\nRUN yarn install\n", "FROM node:24\nRUN yarn install && yarn cache clean\n")
        .mends(Safe),
    rule("DL3062", "pin-go", Warning)
        .says("Pin versions in go install", PIN)
        .shows("FROM golang:1.25\nRUN go install example.com/cmd@latest\n", "FROM golang:1.25\nRUN go install example.com/cmd@v1.2.3\n"),
    rule("DL3066", "numeric-user", Info)
        .says("USER should be numeric", "Kubernetes' `runAsNonRoot` believes only numbers, since it does not read the image's /etc/passwd.")
        .shows("FROM debian:13\nUSER app\n", "FROM debian:13\nUSER 10001\n"),
    rule("DL3067", "copy-everything", Warning)
        .says("Avoid copying a whole filesystem from another stage", "It brings along all that the stages were separated to keep out, and doubles every file in one layer.")
        .shows("FROM debian:13 AS build\nFROM scratch\nCOPY --from=build / /\n", "FROM debian:13 AS build\nFROM scratch\nCOPY --from=build /app /app\n"),
    rule("DL4001", "wget-or-curl", Warning)
        .says("Either use Wget or Curl but not both", "Both do the same, and each brings its libraries.")
        .shows("FROM debian:13\nRUN wget -q http://example.com && curl http://example.org\n", "FROM debian:13\nRUN curl http://example.com && curl http://example.org\n"),
    rule("DL4005", "shell-not-link", Warning)
        .says("Use SHELL to change the default shell", "Replacing /bin/sh changes every script of the distribution as well.")
        .shows("FROM debian:13\nRUN ln -sfv /bin/bash /bin/sh\n", "FROM debian:13\nSHELL [\"/bin/bash\", \"-c\"]\n"),
    rule("DL4006", "pipefail", Warning)
        .says("Set the SHELL option -o pipefail before RUN with a pipe in it", "Without it only the last command's failure counts: a download that breaks off is installed all the same.")
        .shows(
            "FROM debian:13\nRUN wget -qO - https://example.com | wc -l > /number\n",
            "FROM debian:13\nSHELL [\"/bin/bash\", \"-o\", \"pipefail\", \"-c\"]\nRUN wget -qO - https://example.com | wc -l > /number\n",
        )
        .mends(Unsafe),
];
