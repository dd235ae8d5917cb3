//! Machines that a program or a library is made for.

/// Returns for example `linux-x86_64` for a file in ELF or Mach-O, and `None` for a file that runs
/// anywhere. A file for a processor without a name here counts as made for this machine.
pub(super) fn platform(content: &[u8]) -> Option<String> {
    let here = || format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH);
    elf(content).or_else(|| mach(content)).or_else(|| is_native(content).then(here))
}

/// True if a file is a program or a library for one kind of machine.
pub(crate) fn is_native(content: &[u8]) -> bool {
    content.starts_with(ELF)
        || MACH.iter().any(|magic| content.starts_with(magic))
        || is_mach_of_many(content)
}

/// True for a file with code for several processors. A Java class begins with the same bytes, but
/// the number after them is 45 or more.
fn is_mach_of_many(content: &[u8]) -> bool {
    let count = content
        .strip_prefix(&[0xca, 0xfe, 0xba, 0xbe])
        .and_then(|rest| rest.get(..4)?.try_into().ok());
    count.map(u32::from_be_bytes).is_some_and(|count| count < 45)
}

const ELF: &[u8] = b"\x7fELF";
/// First bytes of Mach-O files: 64 bits, and several processors with more than 4 GiB in one file.
const MACH: [[u8; 4]; 2] = [MACH_ONE, [0xca, 0xfe, 0xba, 0xbf]];
const MACH_ONE: [u8; 4] = [0xcf, 0xfa, 0xed, 0xfe];

/// Reads an ELF head. The numbers are those of the System V ABI's `e_machine` and `EI_OSABI`, the
/// names those of `std::env::consts`.
fn elf(content: &[u8]) -> Option<String> {
    let rest = content.strip_prefix(ELF)?;
    let little = *rest.get(1)? == 1;
    let system = *rest.get(3)?;
    let machine: [u8; 2] = content.get(18..20)?.try_into().ok()?;
    let machine = if little { u16::from_le_bytes(machine) } else { u16::from_be_bytes(machine) };
    let processor = match machine {
        0x03 => "x86",
        0x15 => "powerpc64",
        0x16 => "s390x",
        0x28 => "arm",
        0x3e => "x86_64",
        0xb7 => "aarch64",
        0xf3 => "riscv64",
        0x102 => "loongarch64",
        _ => return None,
    };
    let system = match system {
        9 => "freebsd",
        12 => "openbsd",
        _ => "linux",
    };
    Some(format!("{system}-{processor}"))
}

/// Reads a Mach-O head. The numbers are those of `mach/machine.h`.
fn mach(content: &[u8]) -> Option<String> {
    let rest = content.strip_prefix(&MACH_ONE)?;
    match u32::from_le_bytes(rest.get(..4)?.try_into().ok()?) {
        0x0100_0007 => Some("macos-x86_64".to_owned()),
        0x0100_000c => Some("macos-aarch64".to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(start: &[u8], system: u8, machine: u16) -> Vec<u8> {
        let mut bytes = vec![0; 64];
        bytes.splice(..start.len(), start.iter().copied());
        bytes.splice(7..8, [system]);
        let machine = if bytes[5] == 1 { machine.to_le_bytes() } else { machine.to_be_bytes() };
        bytes.splice(18..20, machine);
        bytes
    }

    #[test]
    fn a_programs_machine_is_read_from_its_header() -> std::io::Result<()> {
        let here = format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH);
        assert_eq!(
            platform(&std::fs::read(std::env::current_exe()?)?),
            Some(here.clone()),
            "this program is for this machine"
        );
        assert_eq!(
            platform(&header(b"\x7fELF\x02\x01\x01", 0, 0xb7)).as_deref(),
            Some("linux-aarch64")
        );
        assert_eq!(
            platform(&header(b"\x7fELF\x02\x02\x01", 0, 0x16)).as_deref(),
            Some("linux-s390x")
        );
        assert_eq!(
            platform(&header(b"\x7fELF\x02\x01\x01", 9, 0x3e)).as_deref(),
            Some("freebsd-x86_64")
        );
        assert_eq!(platform(b"\xcf\xfa\xed\xfe\x0c\x00\x00\x01").as_deref(), Some("macos-aarch64"));
        for unknown in [
            header(b"\x7fELF\x02\x01\x01", 0, 0xfff0),
            b"\x7fELF".to_vec(),
            vec![0xca, 0xfe, 0xba, 0xbf],
        ] {
            assert_eq!(platform(&unknown), Some(here.clone()));
        }
        assert_eq!(platform(b"\xca\xfe\xba\xbe\0\0\0\x02").as_deref(), Some(here.as_str()));
        for text in
            [&b"#!/bin/sh\n"[..], b"\xca\xfe\xba\xbe\0\0\0\x41", b"", b"\x7fEL", b"\0\0\0\0"]
        {
            assert_eq!(platform(text), None);
        }
        Ok(())
    }
}
