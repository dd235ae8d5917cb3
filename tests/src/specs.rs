//! Folders of specs to deploy.

use std::path::PathBuf;

use crate::World;

impl World {
    /// A Python cell in a folder of its own, with this code; gives the folder. The function is `say`.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn python(&self, name: &str, code: &str, more: &str) -> PathBuf {
        self.write(&format!("{name}/code/say.py"), code);
        let spec = format!(
            "apiVersion: cbs/v1alpha1\nkind: Cell\nmetadata: {{ name: {name} }}\n\
             spec: {{ runtime: python, source: 'code/say.py:say'{more} }}\n"
        );
        self.write(&format!("{name}/{name}.yaml"), &spec);
        self.here().join(name)
    }

    /// The Python cell `demo.say`, which says a text.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn says(&self, text: &str, more: &str) -> PathBuf {
        let code = "async def say(whom: dict | None) -> dict:\n    return {'text': '{text}', 'body': 'any'}\n";
        self.python("demo.say", &code.replace("{text}", text), more)
    }

    /// Rust cells in a folder of their own, a file each; gives the folder. `more` are further fields of each spec, as
    /// `, timeout: 1s`.
    ///
    /// # Panics
    /// When they cannot be written.
    pub fn rust<'a>(&self, folder: &str, cells: impl IntoIterator<Item = &'a str>, more: &str) -> PathBuf {
        for cell in cells {
            let spec = format!(
                "apiVersion: cbs/v1alpha1\nkind: Cell\nmetadata: {{ name: {cell} }}\nspec: {{ runtime: rust{more} }}\n"
            );
            self.write(&format!("{folder}/{cell}.yaml"), &spec);
        }
        self.here().join(folder)
    }

    /// The first of the many cells that the stories' program has where `STORY_MANY` says how many, in one file.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn many(&self, folder: &str, count: usize, more: &str) -> PathBuf {
        let spec = |index: usize| {
            format!(
                "---\napiVersion: cbs/v1alpha1\nkind: Cell\nmetadata: {{ name: many.c{index} }}\n\
                 spec: {{ runtime: rust{more} }}\n"
            )
        };
        self.write(&format!("{folder}/many.yaml"), &(0..count).map(spec).collect::<String>());
        self.here().join(folder)
    }
}
