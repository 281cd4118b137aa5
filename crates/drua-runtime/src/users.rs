//! `name|uid[:group]` against a container's passwd and group files.
//!
//! Both files come from an image, so every parse is bounded: file size, line length, lines, groups
//! (CVE-2026-47262 was an unbounded `/etc/group`), and ids are `u32` below 2³¹ (CVE-2024-40635 was an overflow to root).

use drua_types::{Classify, ErrorKind};

/// Files longer than this are cut off here.
pub const MAX_FILE_BYTES: usize = 4 << 20;
const MAX_LINE_BYTES: usize = 1 << 16;
const MAX_GROUPS: usize = 1024;
/// Docker's limit: ids are positive `int`s.
const MAX_ID: u32 = i32::MAX as u32;

/// A user, by numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvedUser {
    /// User id.
    pub uid: u32,
    /// Primary group.
    pub gid: u32,
    /// Supplementary groups, sorted.
    pub additional_gids: Vec<u32>,
    /// Home directory from passwd; `/root` for root and `/` for others where passwd has none.
    pub home: String,
}

impl ResolvedUser {
    /// Root, with no groups but its own.
    pub fn root() -> Self {
        Self { uid: 0, gid: 0, additional_gids: vec![0], home: "/root".to_owned() }
    }
}

/// A user that does not exist in the container. The texts are Docker's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UserError {
    /// The name is not in passwd.
    #[error("unable to find user {0}: no matching entries in passwd file")]
    NoUser(String),
    /// The group is not in group.
    #[error("unable to find group {0}: no matching entries in group file")]
    NoGroup(String),
    /// The number is out of range.
    #[error("uids and gids must be in range 0-2147483647")]
    Range,
}

impl Classify for UserError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }
}

/// Resolves `user` (`""`, `name`, `uid`, `name:group`, `uid:gid`) and `extra_groups` against the contents of
/// `/etc/passwd` and `/etc/group`, which may be empty.
///
/// # Errors
/// A name that the files do not have, or a number above 2³¹ − 1. Numbers need not be in the files.
pub fn resolve(user: &str, extra_groups: &[String], passwd: &[u8], group: &[u8]) -> Result<ResolvedUser, UserError> {
    let (user_part, group_part) = match user.split_once(':') {
        Some((user_part, group_part)) => (user_part, Some(group_part).filter(|text| !text.is_empty())),
        None => (user, None),
    };
    let wanted = if user_part.is_empty() { "0" } else { user_part };
    let number = parse_id(wanted)?;
    let entry = passwd_entries(passwd).find(|entry| entry.name == wanted || Some(entry.uid) == number);
    let (uid, mut gid, home, name) = match (&entry, number) {
        (Some(entry), _) => (entry.uid, entry.gid, entry.home.to_owned(), Some(entry.name)),
        (None, Some(uid)) => (uid, 0, String::new(), None),
        (None, None) => return Err(UserError::NoUser(wanted.to_owned())),
    };
    let mut additional = Vec::new();
    if let Some(group_text) = group_part {
        gid = find_group(group_text, group)?;
    } else if let Some(name) = name {
        let memberships = group_entries(group).filter(|entry| entry.members.split(',').any(|member| member == name));
        additional.extend(memberships.map(|entry| entry.gid).take(MAX_GROUPS));
    }
    for extra in extra_groups.iter().take(MAX_GROUPS) {
        additional.push(find_group(extra, group)?);
    }
    additional.push(gid);
    additional.sort_unstable();
    additional.dedup();
    let home = match home {
        home if !home.is_empty() => home,
        _ if uid == 0 => "/root".to_owned(),
        _ => "/".to_owned(),
    };
    Ok(ResolvedUser { uid, gid, additional_gids: additional, home })
}

/// The home directory of a user id, as [`resolve`] would find it.
pub fn home_of(uid: u32, passwd: &[u8]) -> String {
    let entry = passwd_entries(passwd).find(|entry| entry.uid == uid);
    match entry {
        Some(entry) if !entry.home.is_empty() => entry.home.to_owned(),
        _ if uid == 0 => "/root".to_owned(),
        _ => "/".to_owned(),
    }
}

fn find_group(text: &str, group: &[u8]) -> Result<u32, UserError> {
    let number = parse_id(text)?;
    let entry = group_entries(group).find(|entry| entry.name == text || Some(entry.gid) == number);
    entry.map(|entry| entry.gid).or(number).ok_or_else(|| UserError::NoGroup(text.to_owned()))
}

/// `Ok(None)`: not a number but a name.
fn parse_id(text: &str) -> Result<Option<u32>, UserError> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        // A negative number is no name either.
        let negative = text.strip_prefix('-').is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()));
        return if negative { Err(UserError::Range) } else { Ok(None) };
    }
    match text.parse::<u32>() {
        Ok(id) if id <= MAX_ID => Ok(Some(id)),
        _ => Err(UserError::Range),
    }
}

struct PasswdEntry<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

struct GroupEntry<'a> {
    name: &'a str,
    gid: u32,
    members: &'a str,
}

fn lines(file: &[u8]) -> impl Iterator<Item = &str> {
    let file = &file[..file.len().min(MAX_FILE_BYTES)];
    file.split(|byte| *byte == b'\n')
        .filter(|line| line.len() <= MAX_LINE_BYTES)
        .filter_map(|line| std::str::from_utf8(line).ok())
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
}

fn passwd_entries(file: &[u8]) -> impl Iterator<Item = PasswdEntry<'_>> {
    lines(file).filter_map(|line| {
        let mut fields = line.split(':');
        let (name, _password) = (fields.next()?, fields.next()?);
        let (uid, gid) = (fields.next()?, fields.next()?);
        let (_gecos, home) = (fields.next(), fields.next().unwrap_or_default());
        Some(PasswdEntry { name, uid: parse_id(uid).ok()??, gid: parse_id(gid).ok()??, home })
    })
}

fn group_entries(file: &[u8]) -> impl Iterator<Item = GroupEntry<'_>> {
    lines(file).filter_map(|line| {
        let mut fields = line.split(':');
        let (name, _password) = (fields.next()?, fields.next()?);
        let gid = parse_id(fields.next()?).ok()??;
        Some(GroupEntry { name, gid, members: fields.next().unwrap_or_default() })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &[u8] = b"root:x:0:0:root:/root:/bin/sh\n# comment\nweb:x:33:34:www:/var/www:/bin/false\nbad:x:9999999999:0::/:\nnohome:x:7:7\n";
    const GROUP: &[u8] = b"root:x:0:\nwww:x:34:\ndocker:x:999:alice,web\nvideo:x:44:web\n";

    #[track_caller]
    fn check(user: &str, extra: &[&str], expect: Result<(u32, u32, &[u32], &str), UserError>) {
        let extra: Vec<String> = extra.iter().map(|text| (*text).to_owned()).collect();
        let got = resolve(user, &extra, PASSWD, GROUP);
        let got = got.as_ref().map(|user| (user.uid, user.gid, user.additional_gids.as_slice(), user.home.as_str()));
        assert_eq!(got.map_err(Clone::clone), expect, "{user:?}");
    }

    #[test]
    fn names_and_numbers() {
        check("", &[], Ok((0, 0, &[0], "/root")));
        check("web", &[], Ok((33, 34, &[34, 44, 999], "/var/www")));
        check("33", &[], Ok((33, 34, &[34, 44, 999], "/var/www")));
        check("web:docker", &[], Ok((33, 999, &[999], "/var/www")));
        check("web:", &[], Ok((33, 34, &[34, 44, 999], "/var/www")));
        check(":docker", &[], Ok((0, 999, &[999], "/root")));
        check("1234:5678", &["video", "12"], Ok((1234, 5678, &[12, 44, 5678], "/")));
        check("1234", &[], Ok((1234, 0, &[0], "/")));
        check("7", &[], Ok((7, 7, &[7], "/")));
    }

    #[test]
    fn what_does_not_exist_is_refused() {
        check("nobody", &[], Err(UserError::NoUser("nobody".to_owned())));
        check("web:nope", &[], Err(UserError::NoGroup("nope".to_owned())));
        check("2147483648", &[], Err(UserError::Range));
        check("-1", &[], Err(UserError::Range));
        check("0:4294967296", &[], Err(UserError::Range));
        check("bad", &[], Err(UserError::NoUser("bad".to_owned())));
        assert_eq!(home_of(33, PASSWD), "/var/www");
        assert_eq!(home_of(0, b""), "/root");
        assert_eq!(home_of(5, b""), "/");
    }

    #[test]
    fn hostile_files_cost_little() {
        let endless_line = vec![b'a'; MAX_FILE_BYTES * 2];
        assert!(resolve("x", &[], &endless_line, &endless_line).is_err());
        let many_groups: Vec<u8> = (0..100_000).flat_map(|n| format!("g{n}:x:{n}:u\n").into_bytes()).collect();
        let user = resolve("u", &[], b"u:x:1:1::/:\n", &many_groups).expect("valid");
        assert!(user.additional_gids.len() <= MAX_GROUPS + 1);
    }
}
