//! Build stages: a FROM and what follows it.

use crate::instruction::{From, Instruction, Kind};
use crate::{ArgDefinition, Dockerfile};

/// One stage.
#[derive(Debug, Clone, Copy)]
pub struct Stage<'d> {
    /// Its number, from 0.
    pub index: usize,
    /// The instruction FROM itself.
    pub instruction: &'d Instruction,
    /// What the FROM says.
    pub from: &'d From,
    /// Its instructions, FROM excluded.
    pub body: &'d [Instruction],
}

impl Stage<'_> {
    /// The name in lower case, which is how names are compared.
    pub fn name(&self) -> Option<String> {
        self.from.name.as_ref().map(|name| name.text.to_lowercase())
    }
}

impl Dockerfile {
    /// The stages in order.
    pub fn stages(&self) -> Vec<Stage<'_>> {
        let starts: Vec<usize> = (0..self.instructions.len()).filter(|i| self.instructions[*i].is_from()).collect();
        let mut stages = Vec::new();
        for (index, start) in starts.iter().enumerate() {
            let end = starts.get(index + 1).copied().unwrap_or(self.instructions.len());
            let instruction = &self.instructions[*start];
            if let Kind::From(from) = &instruction.kind {
                stages.push(Stage { index, instruction, from, body: &self.instructions[start + 1..end] });
            }
        }
        stages
    }

    /// The ARGs before the first FROM, which only FROMs see.
    pub fn global_args(&self) -> impl Iterator<Item = (&Instruction, &ArgDefinition)> {
        let before = self.instructions.iter().take_while(|instruction| !instruction.is_from());
        before.flat_map(|instruction| {
            let definitions: &[ArgDefinition] =
                if let Kind::Arg(definitions) = &instruction.kind { definitions } else { &[] };
            definitions.iter().map(move |definition| (instruction, definition))
        })
    }
}
