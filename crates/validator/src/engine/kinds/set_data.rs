//! SET_DATA `{terms?, documents?}`: merges into the asset's terms and documents; null deletes.
//!
//! - Footprint: writes the asset.
//! - Effect: named terms and documents are set or deleted (deleting what is not there is no fault).
//! - Rejected: `TOO_MANY_TERMS`, `TOO_MANY_DOCUMENTS`, counted after the merge.
//! - Inverse: the values before.

use std::collections::BTreeMap;

use common::request::limits::{DOCUMENTS_MAX, TERMS_MAX};
use common::request::{Document, Field};

use super::super::codes::Code;
use super::super::evidence::literal;
use super::super::footprint::{ChangeSlots, Touched};
use super::Applying;

pub(super) fn footprint(touched: &mut Touched<'_>) -> ChangeSlots {
    touched.writes_asset();
    ChangeSlots::default()
}

pub(super) fn apply(
    terms: &BTreeMap<String, Option<Field<String>>>,
    documents: &BTreeMap<String, Option<Document>>,
    applying: &mut Applying<'_, '_>,
) {
    let Some(asset) = applying.overlay.change_asset() else { return };
    merge(&mut asset.terms, terms.iter().map(|(key, field)| (key, field.as_ref().map(literal))));
    merge(&mut asset.documents, documents.iter().map(|(key, document)| (key, document.as_ref())));
    let (terms, documents) = (asset.terms.len(), asset.documents.len());
    if terms > TERMS_MAX {
        applying.error(Code::TooManyTerms, "/terms", format!("{terms} terms, at most {TERMS_MAX}"));
    }
    if documents > DOCUMENTS_MAX {
        let detail = format!("{documents} documents, at most {DOCUMENTS_MAX}");
        applying.error(Code::TooManyDocuments, "/documents", detail);
    }
}

fn merge<'a, T: Clone + 'a>(
    into: &mut BTreeMap<String, T>,
    changes: impl Iterator<Item = (&'a String, Option<&'a T>)>,
) {
    for (key, value) in changes {
        match value {
            Some(value) => into.insert(key.clone(), value.clone()),
            None => into.remove(key),
        };
    }
}
