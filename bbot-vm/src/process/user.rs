//! The unprivileged user that a guest runs as.

use std::ffi::CString;

use nix::unistd::{Gid, Uid, User, geteuid, getgrouplist};

use crate::error::Error;

/// The user made for guests: the default where it exists.
const DEDICATED: &str = "bbot-vm";
/// The user that every system has.
const FALLBACK: &str = "nobody";
/// The default of `/proc/sys/kernel/overflowuid`, for systems that have no user `nobody`.
const NOBODY_ID: u32 = 65534;

/// The unprivileged user that a guest runs as.
///
/// Its supplementary groups are those of the group database, so that a user in the group of
/// `/dev/kvm` can use it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct VmUser {
    name: String,
    uid: Uid,
    gid: Gid,
    groups: Vec<Gid>,
}

impl VmUser {
    /// Returns the user with the name or number `name`, or the default one.
    ///
    /// The default is `bbot-vm` where that user exists and else `nobody`. A process that is not
    /// root cannot change its user: its default is its own user.
    ///
    /// # Errors
    ///
    /// If there is no such user, or if it is root.
    pub fn resolve(name: Option<&str>) -> Result<VmUser, Error> {
        match name {
            Some(name) => VmUser::named(name),
            None if !geteuid().is_root() => VmUser::own(geteuid()),
            None => VmUser::default_for_root(),
        }
    }

    /// Returns the user's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the user's number.
    pub fn uid(&self) -> u32 {
        self.uid.as_raw()
    }

    /// Returns the number of the user's first group.
    pub fn gid(&self) -> u32 {
        self.gid.as_raw()
    }

    pub(crate) fn groups(&self) -> &[Gid] {
        &self.groups
    }

    fn named(name: &str) -> Result<VmUser, Error> {
        let user = match (lookup(name)?, name.parse()) {
            (Some(user), _) => Some(user),
            (None, Ok(uid)) => User::from_uid(Uid::from_raw(uid)).ok().flatten(),
            (None, Err(_)) => None,
        };
        VmUser::unprivileged(user.ok_or_else(|| refused(name, "does not exist"))?)
    }

    fn own(uid: Uid) -> Result<VmUser, Error> {
        let missing = || refused(&uid.to_string(), "is ours and has no entry in the user database");
        VmUser::unprivileged(User::from_uid(uid).ok().flatten().ok_or_else(missing)?)
    }

    fn default_for_root() -> Result<VmUser, Error> {
        for name in [DEDICATED, FALLBACK] {
            if let Some(user) = lookup(name)? {
                return VmUser::unprivileged(user);
            }
        }
        let gid = Gid::from_raw(NOBODY_ID);
        let uid = Uid::from_raw(NOBODY_ID);
        Ok(VmUser { name: FALLBACK.into(), uid, gid, groups: vec![gid] })
    }

    fn unprivileged(user: User) -> Result<VmUser, Error> {
        if user.uid.is_root() {
            return Err(refused(&user.name, "is root: a guest must run unprivileged"));
        }
        let name = CString::new(user.name.as_str())
            .map_err(|_| refused(&user.name, "has a name with a NUL byte"))?;
        let groups = getgrouplist(&name, user.gid)
            .map_err(|_| refused(&user.name, "has groups that cannot be read"))?;
        Ok(VmUser { name: user.name, uid: user.uid, gid: user.gid, groups })
    }
}

fn lookup(name: &str) -> Result<Option<User>, Error> {
    User::from_name(name).map_err(|_| refused(name, "cannot be looked up"))
}

fn refused(name: &str, reason: &'static str) -> Error {
    Error::User { name: name.to_owned(), reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_unprivileged() {
        let user = VmUser::resolve(Some("nobody")).unwrap();
        assert_eq!((user.name(), user.uid(), user.gid()), ("nobody", NOBODY_ID, NOBODY_ID));
        assert!(user.groups().contains(&Gid::from_raw(NOBODY_ID)));
        assert_eq!(VmUser::resolve(Some("65534")).unwrap(), user);
    }

    #[test]
    fn default_is_dedicated_or_nobody() {
        let user = VmUser::resolve(None).unwrap();
        assert_ne!(user.uid(), 0);
        if geteuid().is_root() {
            assert!([DEDICATED, FALLBACK].contains(&user.name()), "{user:?}");
        }
    }

    #[test]
    fn root_and_unknown_are_refused() {
        for (name, expected) in [
            ("root", "user \"root\" is root: a guest must run unprivileged"),
            ("0", "user \"root\" is root: a guest must run unprivileged"),
            ("no-such-user", "user \"no-such-user\" does not exist"),
            ("4294967294", "user \"4294967294\" does not exist"),
            ("", "user \"\" does not exist"),
        ] {
            assert_eq!(VmUser::resolve(Some(name)).unwrap_err().to_string(), expected);
        }
    }
}
