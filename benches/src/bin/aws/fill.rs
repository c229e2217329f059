//! Entries straight into the stores, and out of them by bare reads.

use crate::account::Account;
use aws_sdk_dynamodb::types::{AttributeValue, PutRequest, WriteRequest};
use aws_sdk_ssm::types::ParameterType;
use confhub_benches::input::Setting;
use confhub_benches::{Error, Result};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use std::collections::HashMap;

/// Most rows in one call: what DynamoDB allows.
const ROWS: usize = 25;

/// Calls under way at once.
const UNDER_WAY: usize = 8;

/// When all entries were written, as it is told.
const MODIFIED: &str = "2026-01-01T00:00:00Z";

/// A store of the account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Store {
    DynamoDb,
    Ssm,
}

impl Store {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::DynamoDb => "dynamodb",
            Self::Ssm => "ssm",
        }
    }

    /// How the keys begin that it owns.
    pub(crate) fn prefix(self) -> &'static str {
        match self {
            Self::DynamoDb => "tenant_config_",
            Self::Ssm => "param_config_",
        }
    }
}

/// A tenant's shared entries in one store.
pub(crate) struct Shelf<'a> {
    dynamodb: aws_sdk_dynamodb::Client,
    ssm: aws_sdk_ssm::Client,
    table: &'a str,
    root: &'a str,
    tenant: &'a str,
    store: Store,
}

impl<'a> Shelf<'a> {
    pub(crate) fn new(account: &'a Account, tenant: &'a str, store: Store) -> Result<Self> {
        let (dynamodb, ssm) = (account.dynamodb(), account.ssm());
        let (table, root) = (account.setting("TABLE")?, account.setting("ROOT")?);
        Ok(Self { dynamodb, ssm, table, root, tenant, store })
    }

    /// Writes all of these, as version 1.
    pub(crate) async fn fill(&self, settings: &[Setting]) -> Result<()> {
        match self.store {
            Store::DynamoDb => {
                let calls = settings.chunks(ROWS).map(|part| self.put_rows(part));
                stream::iter(calls).buffer_unordered(UNDER_WAY).try_collect().await
            }
            Store::Ssm => {
                let calls = settings.iter().map(|setting| self.put_parameter(setting));
                stream::iter(calls).buffer_unordered(UNDER_WAY).try_collect().await
            }
        }
    }

    async fn put_rows(&self, settings: &[Setting]) -> Result<()> {
        let text = |text: String| AttributeValue::S(text);
        let write = |setting: &Setting| {
            let put = PutRequest::builder()
                .item("pk", text(format!("TENANT#{}", self.tenant)))
                .item("sk", text(format!("CONFIG#{}", setting.key)))
                .item("value", text(String::from_utf8(setting.value.to_vec())?))
                .item("content_type", text("application/json".to_owned()))
                .item("modified", text(MODIFIED.to_owned()))
                .item("version", AttributeValue::N("1".to_owned()));
            Ok::<_, Error>(WriteRequest::builder().put_request(put.build()?).build())
        };
        let writes = settings.iter().map(write).collect::<Result<Vec<_>>>()?;
        let mut left = Some(HashMap::from([(self.table.to_owned(), writes)]));
        while let Some(writes) = left.take().filter(|writes| !writes.is_empty()) {
            let done = self.dynamodb.batch_write_item().set_request_items(Some(writes)).send().await?;
            left = done.unprocessed_items;
        }
        Ok(())
    }

    async fn put_parameter(&self, setting: &Setting) -> Result<()> {
        let value = String::from_utf8(setting.value.to_vec())?;
        let put = self.ssm.put_parameter().name(self.path(setting.key.as_str())).value(value);
        put.r#type(ParameterType::String).overwrite(true).send().await?;
        Ok(())
    }

    fn path(&self, key: &str) -> String {
        format!("/{}/{}/shared/{key}", self.root, self.tenant)
    }

    /// Reads one entry as the hub does after a hint.
    pub(crate) async fn read(&self, key: &str) -> Result<()> {
        let found = match self.store {
            Store::DynamoDb => {
                let pk = AttributeValue::S(format!("TENANT#{}", self.tenant));
                let get = self.dynamodb.get_item().table_name(self.table).consistent_read(true);
                let get = get.key("pk", pk).key("sk", AttributeValue::S(format!("CONFIG#{key}")));
                get.send().await?.item.is_some()
            }
            Store::Ssm => {
                let get = self.ssm.get_parameters().names(self.path(key)).send().await?;
                !get.parameters().is_empty()
            }
        };
        found.then_some(()).ok_or_else(|| format!("{key} is not in {}", self.store.name()).into())
    }

    /// Reads all entries, page by page, and returns how many there are.
    pub(crate) async fn read_all(&self) -> Result<usize> {
        match self.store {
            Store::DynamoDb => {
                let pk = AttributeValue::S(format!("TENANT#{}", self.tenant));
                let query = self.dynamodb.query().table_name(self.table).consistent_read(true);
                let query = query.key_condition_expression("pk = :pk AND begins_with(sk, :config)");
                let query = query.expression_attribute_values(":pk", pk);
                let query =
                    query.expression_attribute_values(":config", AttributeValue::S("CONFIG#".to_owned()));
                let pages: Vec<_> = query.into_paginator().send().try_collect().await?;
                Ok(pages.iter().map(|page| page.items().len()).sum())
            }
            Store::Ssm => {
                let get = self.ssm.get_parameters_by_path().recursive(true);
                let get = get.path(format!("/{}/{}", self.root, self.tenant)).max_results(10);
                let pages: Vec<_> = get.into_paginator().send().try_collect().await?;
                Ok(pages.iter().map(|page| page.parameters().len()).sum())
            }
        }
    }
}
