//! Rules about compose files.

use super::Family::Compose;
use super::Rule;
use crate::report::Safety::{Safe, Unsafe};
use crate::report::Severity::{Error, Info, Warning};

const fn rule(code: &'static str, name: &'static str, severity: crate::report::Severity) -> Rule {
    Rule::new(Compose, code, name, severity)
}

pub(super) const RULES: &[Rule] = &[
    rule("DC0001", "compose-invalid", Error)
        .says("The file must be one that Compose understands", "Nothing is started from a file with mistakes.")
        .shows("services:\n  web: {image: [nginx:1.29\n", "services:\n  web: {image: \"nginx:1.29\"}\n"),
    rule("DC1001", "version-key", Info)
        .says("`version` is obsolete", "Compose reads every file by today's rules and warns about the key on each command.")
        .shows("version: \"3.8\"\nservices:\n  web:\n    image: nginx:1.29\n", "services:\n  web:\n    image: nginx:1.29\n")
        .mends(Safe),
    rule("DC1002", "image-latest", Warning)
        .says("Images should have a version", "Tomorrow's `up` starts another program than today's, and nobody can say what changed.")
        .shows("services:\n  web:\n    image: nginx\n", "services:\n  web:\n    image: nginx:1.29\n"),
    rule("DC1003", "port-quotes", Warning)
        .says("Ports should be quoted", "YAML 1.1 reads `22:22` as a number to the base of sixty: 1342.")
        .shows("services:\n  web:\n    image: nginx:1.29\n    ports:\n      - 22:22\n", "services:\n  web:\n    image: nginx:1.29\n    ports:\n      - \"22:22\"\n")
        .mends(Safe),
    rule("DC1004", "secret-in-environment", Warning)
        .says("Passwords should not be written into environment", "They are in the file and in `docker inspect`. Take them from `secrets`, or from outside with `${NAME:?}`.")
        .shows("services:\n  db:\n    image: postgres:18\n    environment:\n      POSTGRES_PASSWORD: hunter2\n", "services:\n  db:\n    image: postgres:18\n    environment:\n      POSTGRES_PASSWORD_FILE: /run/secrets/db\n"),
    rule("DC1005", "database-published", Warning)
        .says(
            "A database's port should not be published to the world",
            "Published ports pass the host's firewall by. Services of the project reach each other without `ports`; for tools on this machine \
             127.0.0.1 is enough.",
        )
        .shows("services:\n  db:\n    image: postgres:18\n    ports: [\"5432:5432\"]\n", "services:\n  db:\n    image: postgres:18\n    ports: [\"127.0.0.1:5432:5432\"]\n")
        .mends(Unsafe),
    rule("DC1006", "memory-limit", Info)
        .says("Services should have a memory limit", "Without one a leak takes the machine's memory, and the kernel ends whichever process it likes.")
        .shows("services:\n  web:\n    image: nginx:1.29\n", "services:\n  web:\n    image: nginx:1.29\n    mem_limit: 256m\n"),
    rule("DC1007", "restart-loop", Error)
        .says("What others wait for to complete must not restart", "It never counts as completed, and what waits for it never starts.")
        .shows(
            "services:\n  migrate:\n    image: app:1\n    restart: always\n  web:\n    image: app:1\n    depends_on:\n      migrate: {condition: service_completed_successfully}\n",
            "services:\n  migrate:\n    image: app:1\n    restart: \"no\"\n  web:\n    image: app:1\n    depends_on:\n      migrate: {condition: service_completed_successfully}\n",
        )
        .mends(Unsafe),
    rule("DC1008", "privileged", Warning)
        .says("Containers should not be privileged", "It is root of the machine with another file system. Name the capability or device that is needed.")
        .shows("services:\n  web:\n    image: nginx:1.29\n    privileged: true\n", "services:\n  web:\n    image: nginx:1.29\n    cap_add: [NET_ADMIN]\n"),
    rule("DC1009", "engine-socket", Warning)
        .says("The engine's socket should not be mounted", "Whoever can talk to it is root of the machine, read-only mount or not.")
        .shows("services:\n  web:\n    image: traefik:3.6\n    volumes: [\"/var/run/docker.sock:/var/run/docker.sock:ro\"]\n", "services:\n  web:\n    image: traefik:3.6\n    volumes: [\"./traefik.yml:/etc/traefik/traefik.yml:ro\"]\n"),
    rule("DC1010", "same-port-twice", Error)
        .says("Two services publish the same port", "The second one does not start: `port is already allocated`.")
        .shows(
            "services:\n  a:\n    image: nginx:1.29\n    ports: [\"80:80\"]\n  b:\n    image: nginx:1.29\n    ports: [\"80:8080\"]\n",
            "services:\n  a:\n    image: nginx:1.29\n    ports: [\"80:80\"]\n  b:\n    image: nginx:1.29\n    ports: [\"81:8080\"]\n",
        ),
    rule("DC1011", "links", Info)
        .says("`links` is a relic", "Services of a project find each other by name; order is what `depends_on` is for.")
        .shows("services:\n  db:\n    image: postgres:18\n  web:\n    image: nginx:1.29\n    links: [db]\n", "services:\n  db:\n    image: postgres:18\n  web:\n    image: nginx:1.29\n    depends_on: [db]\n"),
    rule("DC1012", "database-without-volume", Warning)
        .says("A database should keep its data in a volume", "`down` removes the container, and all data with it.")
        .shows("services:\n  db:\n    image: postgres:18\n", "services:\n  db:\n    image: postgres:18\n    volumes: [\"data:/var/lib/postgresql\"]\nvolumes:\n  data:\n"),
    rule("DC1013", "container-name", Info)
        .says("`container_name` allows one container on the machine", "The service cannot be scaled, and a second project with the same file does not start.")
        .shows("services:\n  web:\n    image: nginx:1.29\n    container_name: web\n", "services:\n  web:\n    image: nginx:1.29\n"),
    rule("DC1014", "image-end-of-life", Warning)
        .says("The image's release no longer gets fixes", "Every hole that is found from now on stays open.")
        .shows("services:\n  db:\n    image: postgres:11\n    volumes: [\"data:/var/lib/postgresql/data\"]\n", "services:\n  db:\n    image: postgres:18\n    volumes: [\"data:/var/lib/postgresql\"]\n"),
    rule("DC1015", "shell-command", Info)
        .says("npm, yarn and pnpm should not be the process that is signaled", "They do not pass SIGTERM on: the container is killed after ten seconds. `init: true`, or the program itself.")
        .shows("services:\n  web:\n    image: node:24\n    command: npm start\n", "services:\n  web:\n    image: node:24\n    command: node server.js\n"),
    rule("DC1016", "unchecked-database", Info)
        .says("Wait for the database to be ready", "`depends_on` with a list waits until the container is started: the first queries fail.")
        .shows(
            "services:\n  db:\n    image: postgres:18\n    healthcheck:\n      test: [CMD, pg_isready]\n  web:\n    image: app:1\n    depends_on: [db]\n",
            "services:\n  db:\n    image: postgres:18\n    healthcheck:\n      test: [CMD, pg_isready]\n  web:\n    image: app:1\n    depends_on:\n      db: {condition: service_healthy}\n",
        ),
];
