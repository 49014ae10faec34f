//! Whose a local connection is, from what the kernel shows in `/proc`.

use std::{fs, net::SocketAddr};

/// Whether one of these processes holds the socket with this local address. Processes that have
/// ended hold none.
pub(super) fn owns(pids: &[u32], address: SocketAddr) -> bool {
    // Most proxies shun nobody.
    if pids.is_empty() {
        return false;
    }
    let sockets: Vec<String> = inodes(address).iter().map(|n| format!("socket:[{n}]")).collect();
    pids.iter().any(|pid| {
        let files = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        let mut links = files.filter_map(|file| fs::read_link(file.path()).ok());
        links.any(|link| sockets.iter().any(|socket| link.as_os_str() == socket.as_str()))
    })
}

/// The numbers of the sockets with this local address; a port can have several, to different peers.
/// The kit starts Java with IPv4 alone: all of them stand in one table.
fn inodes(address: SocketAddr) -> Vec<String> {
    let SocketAddr::V4(address) = address else { return Vec::new() };
    // As the kernel prints it: the four bytes as a number of this machine, then the port.
    let local = format!("{:08X}:{:04X}", u32::from_ne_bytes(address.ip().octets()), address.port());
    let table = fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    let inode = |line: &str| {
        let mut words = line.split_whitespace();
        (words.nth(1)? == local).then(|| words.nth(7).map(str::to_owned))?
    };
    table.lines().filter_map(inode).collect()
}
