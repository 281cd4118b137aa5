use std::cmp::Ordering;
use std::process::Command;

use proptest::prelude::*;

use super::Scheme;

/// Versions in ascending order; those after `=` are equal to the one before.
#[track_caller]
fn ascending(scheme: Scheme, versions: &str) {
    let list: Vec<&str> = versions.split_whitespace().collect();
    let mut rank = 0;
    let mut ranked: Vec<(usize, &str)> = Vec::new();
    for word in list {
        match word.strip_prefix("==") {
            Some(equal) => ranked.push((rank, equal)),
            None => {
                rank += 1;
                ranked.push((rank, word));
            }
        }
    }
    for (i, a) in &ranked {
        for (j, b) in &ranked {
            assert_eq!(scheme.compare(a, b), i.cmp(j), "{scheme:?}: {a} and {b}");
        }
    }
}

#[test]
fn dpkg_order() {
    ascending(
        Scheme::Dpkg,
        "1.0~~ 1.0~~a 1.0~ 1.0~rc1-1 1.0 ==1.0-0 ==0:1.0 1.0-1~deb12u1 1.0-1 1.0-1+b1 1.0a 1.0+dfsg 1.0.1 1.2 1.10 1:0.1",
    );
    assert!(!Scheme::Dpkg.is_valid("1 2") && !Scheme::Dpkg.is_valid("") && Scheme::Dpkg.is_valid("2:1.2+dfsg~rc1-3"));
}

#[test]
fn apk_order() {
    ascending(
        Scheme::Apk,
        "1.0_alpha 1.0_alpha2 1.0_beta 1.0_pre1 1.0_rc1 1.0 1.0-r0 1.0-r1 1.0_git20200101 1.0_p1 1.0_p1-r1 1.0a 1.0b 1.0.1 1.2 1.10",
    );
    // A leading zero makes it a fraction, as in Gentoo.
    ascending(Scheme::Apk, "1.01 1.1 1.9 1.10");
    assert!(Scheme::Apk.is_valid("3.1.4-r6") && !Scheme::Apk.is_valid("3.1-4") && !Scheme::Apk.is_valid("a1"));
}

#[test]
fn rpm_order() {
    ascending(
        Scheme::Rpm,
        "1.0~rc1-1 1.0-1~1 1.0-1 ==0:1.0-1 ==1.0-01 1.0-1^git1 1.0-1.el9 1.0-2.el9 1.0^post-1 1.0a-1 1.0.1-1 1.10-1 1:0.5-1",
    );
    assert_eq!(Scheme::Rpm.compare("1.2-3.el9", "1.2"), Ordering::Equal, "a side without a release is any");
}

#[test]
fn alpm_order() {
    ascending(Scheme::Alpm, "1.0a 1.0alpha 1.0b 1.0rc 1.0 1.0.a 1.0.1 1.1-1 1.1-2 1:0.1");
}

#[test]
fn semver_order() {
    ascending(
        Scheme::Semver,
        "1.0.0-alpha 1.0.0-alpha.1 1.0.0-alpha.beta 1.0.0-beta 1.0.0-beta.2 1.0.0-beta.11 1.0.0-rc.1 1.0.0 ==v1.0.0 ==1 ==1.0.0+build 1.0.1 1.2.0 1.10.0 99999999999999999999.0.0",
    );
}

#[test]
fn go_order() {
    ascending(
        Scheme::Go,
        "v0.0.0-20190101000000-abcdefabcdef v0.0.0-20200101000000-000000000000 go1.20rc1 go1.20rc2 ==1.20.0-rc.2 go1.20 ==1.20.0 go1.20.1 go1.21beta1 v2.0.0+incompatible ==2.0.0",
    );
}

#[test]
fn pub_order_counts_builds() {
    ascending(Scheme::Pub, "1.0.0-pre 1.0.0-pre+1 1.0.0 1.0.0+1 1.0.0+2 1.0.0+a 1.0.1");
}

#[test]
fn pep440_order() {
    ascending(
        Scheme::Pep440,
        "0.1-charizard 1.0.dev1 1.0a1.dev1 1.0a1 ==1.0.alpha-1 1.0b2 ==1.0_BETA.2 1.0rc1 ==1.0c1 ==1.0-preview1 1.0 ==v1.0.0 1.0+abc 1.0+5 1.0.post0.dev1 1.0.post0 ==1.0-0 1.0.post1 ==1.0-r1 1.1 1!0.1",
    );
    assert!(!Scheme::Pep440.is_valid("1.0-charizard") && Scheme::Pep440.is_valid("1.0rc1.post2.dev3+local.4"));
}

#[test]
fn maven_order() {
    ascending(
        Scheme::Maven,
        "1-alpha-1 ==1a1 1-beta-1 1-milestone-1 1-rc-1 ==1-cr1 1-snapshot 1 ==1.0 ==1-ga ==1.0.0-final ==1-0 1-sp 1-abc 1-xyz 1-1 1.1 1.2 1.10",
    );
    // Deeper than any version: must not exhaust the stack.
    let deep = "1-a".repeat(50_000);
    assert_eq!(Scheme::Maven.compare(&deep, &deep), Ordering::Equal);
}

#[test]
fn rubygems_order() {
    ascending(Scheme::RubyGems, "1.0.a 1.0.a.1 1.0.b1 1.0.pre 1.0.rc1 1.0 ==1 ==1.0.0 1.0.1 1.1.rc2 1.1 1.10");
}

#[test]
fn nuget_order() {
    ascending(Scheme::NuGet, "1.0.0-alpha 1.0.0-BETA ==1.0.0-beta 1.0.0 ==1.0 ==1.0.0.0+x 1.0.0.1 1.0.1 2.0");
}

#[test]
fn packagist_order() {
    ascending(
        Scheme::Packagist,
        "1.0-dev 1.0-alpha1 ==1.0a1 1.0-beta2 ==v1.0b2 1.0-RC1 1.0 ==1.0.0 ==1.0.0.0 ==v1.0 ==1.0-stable 1.0-p1 ==1.0-patch1 1.0.1 1.1",
    );
}

#[test]
fn cran_and_bitnami_order() {
    ascending(Scheme::Cran, "0.1 0.1-1 0.1.2 0.2 0.10 1.0-3");
    ascending(Scheme::Bitnami, "1.2.3-rc.1 1.2.3 1.2.3-1 1.2.3-2 1.2.3-10 1.2.4");
}

#[test]
fn ecosystems_have_orders() {
    for (ecosystem, scheme) in [
        ("Debian:12", Scheme::Dpkg),
        ("Alpine:v3.20", Scheme::Apk),
        ("Red Hat:enterprise_linux:9::baseos", Scheme::Rpm),
        ("PyPI", Scheme::Pep440),
        ("crates.io", Scheme::Semver),
        ("Go", Scheme::Go),
    ] {
        assert_eq!(Scheme::of_ecosystem(ecosystem), Some(scheme));
    }
    assert_eq!(Scheme::of_ecosystem("Nonesuch"), None);
}

const ALL: [Scheme; 14] = [
    Scheme::Dpkg,
    Scheme::Apk,
    Scheme::Rpm,
    Scheme::Alpm,
    Scheme::Semver,
    Scheme::Go,
    Scheme::Pub,
    Scheme::Pep440,
    Scheme::Maven,
    Scheme::RubyGems,
    Scheme::NuGet,
    Scheme::Packagist,
    Scheme::Cran,
    Scheme::Bitnami,
];

proptest! {
    /// Whatever stands in a package database: no panic, equal to itself, and the same answer from both sides.
    #[test]
    fn every_order_is_antisymmetric(a in "\\PC{0,24}", b in "\\PC{0,24}") {
        for scheme in ALL {
            prop_assert_eq!(scheme.compare(&a, &a), Ordering::Equal, "{:?} {}", scheme, a);
            prop_assert_eq!(scheme.compare(&a, &b), scheme.compare(&b, &a).reverse(), "{:?} {} {}", scheme, a, b);
        }
    }

    #[test]
    fn versions_that_look_like_some_are_antisymmetric(a in version(), b in version()) {
        for scheme in ALL {
            prop_assert_eq!(scheme.compare(&a, &b), scheme.compare(&b, &a).reverse(), "{:?} {} {}", scheme, a, b);
        }
    }
}

fn version() -> impl Strategy<Value = String> {
    "(v|[0-9]:)?[0-9]{1,3}(\\.[0-9]{1,3}){0,3}([-_.~+^]?(alpha|beta|rc|pre|dev|post|a|b|p|git|r)?[0-9]{0,2}){0,3}"
}

/// The program that defines the order, where it is here.
#[test]
fn dpkg_agrees() {
    if Command::new("dpkg").arg("--version").output().is_err() {
        return;
    }
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let strategy = "([0-9]:)?[0-9]{1,2}(\\.[0-9]{1,2}){0,2}([~+a-c.]{0,2}[0-9]{0,2}){0,2}(-[0-9a-c~+.]{1,4})?";
    for _ in 0..150 {
        let mut pick = || strategy.new_tree(&mut runner).map(|tree| proptest::strategy::ValueTree::current(&tree));
        let (Ok(a), Ok(b)) = (pick(), pick()) else { continue };
        let says = |operator: &str| {
            Command::new("dpkg")
                .args(["--compare-versions", &a, operator, &b])
                .status()
                .is_ok_and(|status| status.success())
        };
        let expected = match (says("lt"), says("gt")) {
            (true, _) => Ordering::Less,
            (_, true) => Ordering::Greater,
            _ => Ordering::Equal,
        };
        assert_eq!(Scheme::Dpkg.compare(&a, &b), expected, "{a} and {b}");
    }
}
