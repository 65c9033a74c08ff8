//! Free TCP ports of the loopback address, which processes of the tests do not choose at the same time: the same files as
//! in `tests/support/ports.py`. Integration tests of other crates include this file.

use std::{
    env,
    fs::{self, File},
    io,
    net::TcpListener,
    ops::Range,
    os::unix::fs::PermissionsExt as _,
    process,
};

/// Range of ports where the kernel's own is not known.
const USUAL: Range<u16> = 11_000..32_768;

/// A TCP port on the loopback address that nothing listens on, and that no other process of the tests gets while this
/// claim is held. Connections do not take it either: the kernel gives them ports of another range.
pub(crate) struct Port {
    /// Its number.
    pub(crate) number: u16,
    /// The file whose lock is the claim.
    _claim: File,
}

impl Port {
    /// Claims a port.
    ///
    /// # Errors
    ///
    /// The files of the claims cannot be opened, or all ports are taken.
    pub(crate) fn claim() -> io::Result<Self> {
        let folder = env::temp_dir().join("ferroflow-ports");
        match fs::create_dir(&folder) {
            // Users share it.
            Ok(()) => fs::set_permissions(&folder, fs::Permissions::from_mode(0o777))?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        let range = range(&fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default());
        // Processes begin at different places, so that few locks are tried in vain.
        let start = process::id() as usize * 7919 % range.len();
        for number in range.clone().cycle().skip(start).take(range.len()) {
            let path = folder.join(number.to_string());
            // A lock needs no right to write: the file may be that of another user.
            let claim = File::open(&path).or_else(|_| File::create(&path))?;
            if claim.try_lock().is_ok() && TcpListener::bind(("127.0.0.1", number)).is_ok() {
                return Ok(Self { number, _claim: claim });
            }
        }
        Err(io::ErrorKind::AddrInUse.into())
    }
}

/// The larger range beside that of the kernel, which is the text of `ip_local_port_range`, such as `32768 60999`.
fn range(of_kernel: &str) -> Range<u16> {
    let mut numbers = of_kernel.split_whitespace().filter_map(|number| number.parse::<u16>().ok());
    let (Some(first), Some(last)) = (numbers.next(), numbers.next()) else { return USUAL };
    let beside = [USUAL.start..first, last.saturating_add(1)..u16::MAX, USUAL.start..12_000];
    beside.into_iter().max_by_key(ExactSizeIterator::len).unwrap_or(USUAL)
}
