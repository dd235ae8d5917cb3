//! Functions, structs and traits of a Rust file, with their sizes.

use std::collections::BTreeSet;

use proc_macro2::{TokenStream, TokenTree};
use syn::{
    Expr, FnArg, Ident, ImplItem, ItemEnum, ItemFn, ItemImpl, ItemMod, ItemStruct, ItemTrait,
    ItemType, ItemUnion, Local, Pat, TraitItem, Type, Visibility,
    spanned::Spanned,
    visit::{self, Visit},
};

/// Something with a name, a place and a size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Measured {
    /// As written in the source.
    pub name: String,
    /// Line on which it begins.
    pub line: usize,
    /// Lines of a function, fields of a struct, required methods of a trait.
    pub size: usize,
}

/// Items that a file declares.
#[derive(Debug, Default)]
pub struct Items {
    /// Every function and method, sized by its lines without attributes and documentation.
    pub functions: Vec<Measured>,
    /// Every struct, sized by its fields.
    pub structs: Vec<Measured>,
    /// Every trait, sized by the methods that an implementor must write.
    pub traits: Vec<Measured>,
    /// Types with a method that takes `self`: they have behaviour.
    pub behaving: BTreeSet<String>,
    /// First lines of test modules whose body is in this file.
    pub inline_tests: Vec<usize>,
    /// Every public struct, enum, trait, union and type alias, sized 1.
    pub public_types: Vec<Measured>,
    /// Every field of a struct that is a tuple, sized by its elements.
    pub tuple_fields: Vec<Measured>,
    /// Every function and method, sized by its parameters: the elements of a tuple count, `self`
    /// does not.
    pub parameters: Vec<Measured>,
    /// First lines of every `let` that takes apart a tuple written on its right side. A swap,
    /// where a name of the left side is read on the right, and `let … else` are not counted.
    pub tuple_lets: Vec<usize>,
}

/// Reads a file's items; the error names the text that is not Rust, and its place.
pub fn items(text: &str) -> Result<Items, String> {
    let file = syn::parse_file(text)
        .map_err(|error| format!("line {}: {error}", error.span().start().line))?;
    let mut items = Items::default();
    items.visit_file(&file);
    Ok(items)
}

impl Items {
    fn function(&mut self, signature: &syn::Signature, end: proc_macro2::Span) {
        let line = signature.span().start().line;
        let size = end.end().line + 1 - line;
        self.functions.push(Measured { name: signature.ident.to_string(), line, size });
        let parameters = signature.inputs.iter().map(|input| match input {
            FnArg::Receiver(_) => 0,
            FnArg::Typed(typed) => elements(&typed.ty).unwrap_or(1),
        });
        let size = parameters.sum();
        self.parameters.push(Measured { name: signature.ident.to_string(), line, size });
    }

    fn public(&mut self, visibility: &Visibility, name: &Ident) {
        if matches!(visibility, Visibility::Public(_)) {
            self.public_types.push(Measured {
                name: name.to_string(),
                line: name.span().start().line,
                size: 1,
            });
        }
    }
}

/// Number of the elements of a tuple, those of tuples in it counted one by one.
fn elements(ty: &Type) -> Option<usize> {
    match ty {
        Type::Tuple(tuple) => {
            Some(tuple.elems.iter().map(|element| elements(element).unwrap_or(1)).sum())
        }
        Type::Reference(reference) => elements(&reference.elem),
        Type::Paren(inner) => elements(&inner.elem),
        _ => None,
    }
}

/// Pattern without the type that follows it.
fn untyped(pattern: &Pat) -> &Pat {
    match pattern {
        Pat::Type(typed) => untyped(&typed.pat),
        pattern => pattern,
    }
}

/// Names in a piece of code: those in macros and in the braces of format strings too.
fn names(tokens: TokenStream, found: &mut BTreeSet<String>) {
    for token in tokens {
        match token {
            TokenTree::Group(group) => names(group.stream(), found),
            TokenTree::Ident(name) => {
                found.insert(name.to_string());
            }
            TokenTree::Literal(text) => {
                let text = text.to_string();
                found.extend(text.split('{').skip(1).map(|rest| {
                    rest.chars().take_while(|it| it.is_alphanumeric() || *it == '_').collect()
                }));
            }
            TokenTree::Punct(_) => {}
        }
    }
}

/// Names that a pattern binds.
#[derive(Default)]
struct Bound(BTreeSet<String>);

impl<'ast> Visit<'ast> for Bound {
    fn visit_pat_ident(&mut self, name: &'ast syn::PatIdent) {
        self.0.insert(name.ident.to_string());
        visit::visit_pat_ident(self, name);
    }
}

/// True if a `let` takes apart a tuple that its right side writes, and is no swap.
fn takes_apart(local: &Local) -> bool {
    let Some(init) = &local.init else { return false };
    let (Pat::Tuple(left), Expr::Tuple(right)) = (untyped(&local.pat), &*init.expr) else {
        return false;
    };
    if init.diverge.is_some() || left.elems.len() != right.elems.len() {
        return false;
    }
    let mut bound = Bound::default();
    bound.visit_pat_tuple(left);
    let mut read = BTreeSet::new();
    let source = right.span().source_text().and_then(|text| text.parse().ok());
    names(source.unwrap_or_default(), &mut read);
    bound.0.is_disjoint(&read)
}

impl<'ast> Visit<'ast> for Items {
    fn visit_local(&mut self, local: &'ast Local) {
        if takes_apart(local) {
            self.tuple_lets.push(local.span().start().line);
        }
        visit::visit_local(self, local);
    }

    fn visit_item_fn(&mut self, item: &'ast ItemFn) {
        self.function(&item.sig, item.block.span());
        visit::visit_item_fn(self, item);
    }

    fn visit_item_impl(&mut self, item: &'ast ItemImpl) {
        for method in &item.items {
            if let ImplItem::Fn(method) = method {
                self.function(&method.sig, method.block.span());
                if item.trait_.is_none()
                    && method.sig.receiver().is_some()
                    && let Type::Path(path) = &*item.self_ty
                    && let Some(last) = path.path.segments.last()
                {
                    self.behaving.insert(last.ident.to_string());
                }
            }
        }
        visit::visit_item_impl(self, item);
    }

    fn visit_item_trait(&mut self, item: &'ast ItemTrait) {
        let mut required = 0;
        for method in &item.items {
            if let TraitItem::Fn(method) = method {
                match &method.default {
                    Some(block) => self.function(&method.sig, block.span()),
                    None => required += 1,
                }
            }
        }
        let line = item.ident.span().start().line;
        self.traits.push(Measured { name: item.ident.to_string(), line, size: required });
        self.public(&item.vis, &item.ident);
        visit::visit_item_trait(self, item);
    }

    fn visit_item_struct(&mut self, item: &'ast ItemStruct) {
        let line = item.ident.span().start().line;
        self.structs.push(Measured { name: item.ident.to_string(), line, size: item.fields.len() });
        self.public(&item.vis, &item.ident);
        for field in &item.fields {
            if let Some(size) = elements(&field.ty) {
                let name = field
                    .ident
                    .as_ref()
                    .map_or_else(|| item.ident.to_string(), ToString::to_string);
                self.tuple_fields.push(Measured { name, line: field.span().start().line, size });
            }
        }
        visit::visit_item_struct(self, item);
    }

    fn visit_item_enum(&mut self, item: &'ast ItemEnum) {
        self.public(&item.vis, &item.ident);
        visit::visit_item_enum(self, item);
    }

    fn visit_item_union(&mut self, item: &'ast ItemUnion) {
        self.public(&item.vis, &item.ident);
        visit::visit_item_union(self, item);
    }

    fn visit_item_type(&mut self, item: &'ast ItemType) {
        self.public(&item.vis, &item.ident);
        visit::visit_item_type(self, item);
    }

    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        let is_test = item.attrs.iter().any(|attribute| {
            attribute.path().is_ident("cfg")
                && attribute.parse_args::<syn::Path>().is_ok_and(|path| path.is_ident("test"))
        });
        if is_test && item.content.is_some() {
            self.inline_tests.push(item.span().start().line);
        }
        visit::visit_item_mod(self, item);
    }
}
