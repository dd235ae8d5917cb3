//! Folders of specs to deploy.

use std::path::PathBuf;

use crate::World;

impl World {
    /// Writes a Python cell with this code into a folder of its own; returns the folder. The
    /// function is `say`.
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

    /// Writes the Python cell `demo.say`, which answers with a text; returns its folder.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn says(&self, text: &str, more: &str) -> PathBuf {
        let code = "async def say(whom: dict | None) -> dict:\n    return {'text': '{text}', 'body': 'any'}\n";
        self.python("demo.say", &code.replace("{text}", text), more)
    }

    /// Writes specs of Rust cells into a folder of their own, one file for each; returns the
    /// folder. `more` are further fields of each spec, such as `, timeout: 1s`.
    ///
    /// # Panics
    /// When they cannot be written.
    pub fn rust<'a>(
        &self,
        folder: &str,
        cells: impl IntoIterator<Item = &'a str>,
        more: &str,
    ) -> PathBuf {
        for cell in cells {
            let spec = format!(
                "apiVersion: cbs/v1alpha1\nkind: Cell\nmetadata: {{ name: {cell} }}\nspec: {{ runtime: rust{more} }}\n"
            );
            self.write(&format!("{folder}/{cell}.yaml"), &spec);
        }
        self.here().join(folder)
    }

    /// Writes one file with the specs of the first `count` numbered cells; returns the folder. The
    /// stories' program has as many of these cells as `STORY_MANY` says.
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
