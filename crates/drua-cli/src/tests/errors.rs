use anyhow::Context as _;
use drua_api::{ApiError, ClientError, Host};

use crate::failure::Failure;
use crate::ui::{Paint, render_failure};

#[test]
fn a_failure_has_one_shape() {
    let error = anyhow::anyhow!("address already in use")
        .context("cannot publish 8080/tcp on 0.0.0.0")
        .context("failed to start container `web`");
    let failure = Failure::new(error).hint("container `old-web` holds the port; stop it or use `-p 8081:80`");
    insta::assert_snapshot!(render_failure(&failure, Paint::Plain), @r"
    error: failed to start container `web`
      Caused by: cannot publish 8080/tcp on 0.0.0.0
      Caused by: address already in use

    hint: container `old-web` holds the port; stop it or use `-p 8081:80`
    ");
}

#[test]
fn the_daemons_words_are_the_error() {
    let error = ClientError::from(ApiError { status: 404, message: "No such container: x".to_owned() });
    assert_eq!(render_failure(&error.into(), Paint::Plain), "error: No such container: x\n");
}

#[test]
fn hints_are_found_in_the_chain_and_said_once() {
    let connect = || ClientError::Connect {
        host: Host::default(),
        source: std::io::Error::from(std::io::ErrorKind::PermissionDenied),
    };
    let failure = Failure::from(Err::<(), _>(connect()).context("cannot list containers").expect_err("an error"));
    let hint = "join the group `drua` with `sudo usermod -aG drua $USER` and log in again, or use `sudo`";
    assert_eq!(failure.hint(hint).hints(), [hint]);
}

#[test]
fn several_lines_stay_together() {
    let failure = Failure::new(anyhow::anyhow!("line one\nline two\n").context("the drua daemon did not start"));
    insta::assert_snapshot!(render_failure(&failure, Paint::Plain), @r"
    error: the drua daemon did not start
      Caused by: line one
        line two
    ");
}

#[test]
fn colour_is_only_decoration() {
    let failure = Failure::message("x").hint("y");
    let coloured = render_failure(&failure, Paint::Ansi);
    assert_eq!(coloured, "\x1b[1;31merror:\x1b[0m x\n\n\x1b[36mhint:\x1b[0m y\n");
}

#[test]
fn only_our_own_broken_pipe_is_silent() {
    let broken = || std::io::Error::from(std::io::ErrorKind::BrokenPipe);
    assert!(Failure::new(broken()).is_broken_pipe());
    assert!(
        !Failure::from(Err::<(), _>(broken()).context("cannot talk to the daemon").expect_err("an error"))
            .is_broken_pipe()
    );
}
