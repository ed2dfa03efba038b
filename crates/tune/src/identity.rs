//! The part of an ELF header that stands at the same place in files for every machine, and says for
//! which one.

use object::{ReadRef, elf};

/// For which machine an ELF file is built.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Identity {
    class: elf::FileClass,
    order: elf::DataEncoding,
    machine: elf::Machine,
}

impl Identity {
    /// What the file says; `None` when it is no ELF file.
    pub(crate) fn of<'data, R: ReadRef<'data>>(data: R) -> Option<Self> {
        let header: &[u8] = data.read_bytes_at(0, 20).ok()?;
        if !header.starts_with(&elf::ELFMAG) {
            return None;
        }
        let order = elf::DataEncoding(header[5]);
        let machine = [header[18], header[19]];
        let machine = match order {
            elf::ELFDATA2MSB => u16::from_be_bytes(machine),
            _ => u16::from_le_bytes(machine),
        };
        Some(Self { class: elf::FileClass(header[4]), order, machine: elf::Machine(machine) })
    }

    /// Whether that is ours: x86-64 with 64-bit addresses.
    pub(crate) fn is_ours(self) -> bool {
        (self.class, self.order, self.machine) == (elf::ELFCLASS64, elf::ELFDATA2LSB, elf::EM_X86_64)
    }

    /// The machine, as people call it.
    pub(crate) fn name(self) -> String {
        let known = match self.machine {
            elf::EM_X86_64 if self.class == elf::ELFCLASS32 => "x32",
            elf::EM_X86_64 => "x86-64",
            elf::EM_386 => "32-bit x86",
            elf::EM_AARCH64 => "aarch64",
            elf::EM_ARM => "32-bit ARM",
            elf::EM_PPC64 => "ppc64",
            elf::EM_S390 => "s390x",
            elf::EM_RISCV => "RISC-V",
            elf::Machine(other) => return format!("machine {other}"),
        };
        known.to_owned()
    }
}
