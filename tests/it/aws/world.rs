//! The stand-in for AWS, and what a stack of its own has: a table, queues, a bucket, a cluster.

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_dynamodb::types as db;
use aws_sdk_s3::config::{Credentials, SharedCredentialsProvider, SharedHttpClient};
use cloud_code::adapters::aws::ecs::{Capacity, EcsConfig};
use cloud_code::adapters::aws::{Aws as Clients, connections, keys, sqs::SqsConfig};
use cloud_code::ports::Lane;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

/// The account that moto plays.
pub(crate) const ACCOUNT: &str = "123456789012";
/// The region of all tests.
pub(crate) const REGION: &str = "eu-west-1";

/// The process. Its standard input is a pipe of ours: it ends with this process, however that ends.
struct Moto {
    endpoint: String,
    _child: Child,
}

/// `None`, and a line that says so, where there is no moto. CI may not skip.
fn moto() -> Option<&'static Moto> {
    static MOTO: OnceLock<Option<Moto>> = OnceLock::new();
    let moto = MOTO.get_or_init(|| {
        let python = std::env::var_os("CLOUD_CODE_TEST_MOTO")?;
        let mut child = Command::new(python)
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/aws/moto_server.py"))
            // Containers that a test starts reach it too.
            .arg("0.0.0.0")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("starting moto");
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port: u16 = line.trim().parse().expect("moto says its port");
        Some(Moto { endpoint: format!("http://127.0.0.1:{port}"), _child: child })
    });
    if moto.is_none() {
        assert!(
            std::env::var_os("CI").is_none_or(|value| value != "true"),
            "CI has to run the AWS tests: set CLOUD_CODE_TEST_MOTO to a Python that has moto"
        );
        println!("skipped: needs moto; set CLOUD_CODE_TEST_MOTO to a Python that has it");
    }
    moto.as_ref()
}

/// A stack.
#[derive(Clone)]
pub(crate) struct Aws {
    pub(crate) endpoint: String,
    /// Begins the names of everything in it.
    pub(crate) name: String,
    pub(crate) config: SdkConfig,
    /// Its bucket.
    pub(crate) bucket: String,
}

impl Aws {
    /// An empty stack; `None` where there is no moto.
    pub(crate) async fn new() -> Option<Self> {
        let moto = moto()?;
        let name = format!("cc-{}", uuid::Uuid::new_v4().simple());
        let config = config(&moto.endpoint, "test").await;
        Some(Self { endpoint: moto.endpoint.clone(), bucket: name.clone(), name, config })
    }

    /// What adapters are made of.
    pub(crate) fn clients(&self) -> Clients {
        Clients::with(self.config.clone())
    }

    /// With keys of its own, so that its calls can be told from others'.
    pub(crate) fn named(&self, key: &str) -> Self {
        let config = self.config.clone().into_builder();
        Self { config: config.credentials_provider(credentials(key)).build(), ..self.clone() }
    }

    /// With connections that the test stands in the way of.
    pub(crate) fn by(&self, client: SharedHttpClient) -> Self {
        Self { config: self.config.clone().into_builder().http_client(client).build(), ..self.clone() }
    }

    pub(crate) fn queue(&self) -> SqsConfig {
        SqsConfig {
            url: format!("{}/{ACCOUNT}/{}", self.endpoint, self.name),
            table: self.name.clone(),
            bucket: self.bucket.clone(),
        }
    }

    /// Makes the table as `keys` describes it.
    pub(crate) async fn make_table(&self) {
        use db::{AttributeDefinition, GlobalSecondaryIndex, KeySchemaElement, KeyType, Projection};
        let client = aws_sdk_dynamodb::Client::new(&self.config);
        let key = |name: &str, kind: KeyType| {
            KeySchemaElement::builder().attribute_name(name).key_type(kind).build().unwrap()
        };
        let mut create = client
            .create_table()
            .table_name(&self.name)
            .billing_mode(db::BillingMode::PayPerRequest)
            .key_schema(key(keys::PK, KeyType::Hash))
            .key_schema(key(keys::SK, KeyType::Range));
        let mut attributes = vec![keys::PK, keys::SK];
        for index in keys::INDEXES {
            let projection = if index.has.is_empty() {
                Projection::builder().projection_type(db::ProjectionType::KeysOnly).build()
            } else {
                let has = index.has.iter().map(ToString::to_string).collect();
                Projection::builder()
                    .projection_type(db::ProjectionType::Include)
                    .set_non_key_attributes(Some(has))
                    .build()
            };
            let made = GlobalSecondaryIndex::builder()
                .index_name(index.name)
                .key_schema(key(index.partition, KeyType::Hash))
                .key_schema(key(index.order, KeyType::Range))
                .projection(projection)
                .build()
                .unwrap();
            create = create.global_secondary_indexes(made);
            attributes.extend([index.partition, index.order]);
        }
        attributes.sort_unstable();
        attributes.dedup();
        for name in attributes {
            let attribute = AttributeDefinition::builder()
                .attribute_name(name)
                .attribute_type(db::ScalarAttributeType::S)
                .build();
            create = create.attribute_definitions(attribute.unwrap());
        }
        create.send().await.unwrap();
    }

    pub(crate) async fn make_queues(&self) {
        let client = aws_sdk_sqs::Client::new(&self.config);
        let names = Lane::ALL.map(|lane| lane.as_str().to_owned());
        for name in names.into_iter().chain(["dead".to_owned(), "reports".to_owned()]) {
            client.create_queue().queue_name(format!("{}-{name}", self.name)).send().await.unwrap();
        }
    }

    pub(crate) fn s3(&self) -> aws_sdk_s3::Client {
        let config = aws_sdk_s3::config::Builder::from(&self.config).force_path_style(true).build();
        aws_sdk_s3::Client::from_conf(config)
    }

    pub(crate) async fn make_bucket(&self) {
        let here = aws_sdk_s3::types::CreateBucketConfiguration::builder()
            .location_constraint(aws_sdk_s3::types::BucketLocationConstraint::from(REGION))
            .build();
        self.s3().create_bucket().bucket(&self.name).create_bucket_configuration(here).send().await.unwrap();
    }

    pub(crate) async fn put_object(&self, key: &str, bytes: &'static [u8]) {
        let body = aws_sdk_s3::primitives::ByteStream::from_static(bytes);
        self.s3().put_object().bucket(&self.bucket).key(key).body(body).send().await.unwrap();
    }

    /// An object of the bucket; `None` where there is none.
    pub(crate) async fn object(&self, key: &str) -> Option<Vec<u8>> {
        let got = self.s3().get_object().bucket(&self.bucket).key(key).send().await;
        let object = match got {
            Ok(object) => object,
            Err(error) if error.as_service_error().is_some_and(|error| error.is_no_such_key()) => {
                return None;
            }
            Err(error) => panic!("{error:?}"),
        };
        Some(object.body.collect().await.unwrap().into_bytes().to_vec())
    }

    /// The names of all objects of a stack's bucket.
    pub(crate) async fn objects(&self) -> Vec<String> {
        let listed = self.s3().list_objects_v2().bucket(&self.bucket).send().await.unwrap();
        listed.contents().iter().filter_map(|object| object.key().map(str::to_owned)).collect()
    }

    /// A cluster with one task definition, and what a task needs around it.
    pub(crate) async fn make_cluster(&self, family: &str, capacity: Capacity) -> EcsConfig {
        use aws_sdk_ecs::types::{Compatibility, ContainerDefinition, NetworkMode};
        let ecs = aws_sdk_ecs::Client::new(&self.config);
        ecs.create_cluster().cluster_name(&self.name).send().await.unwrap();
        let container = ContainerDefinition::builder().name("agent").image("agent").build();
        ecs.register_task_definition()
            .family(family)
            .network_mode(NetworkMode::Awsvpc)
            .requires_compatibilities(Compatibility::Fargate)
            .cpu("1024")
            .memory("2048")
            .container_definitions(container)
            .send()
            .await
            .unwrap();
        let logs = aws_sdk_cloudwatchlogs::Client::new(&self.config);
        logs.create_log_group().log_group_name(&self.name).send().await.unwrap();
        EcsConfig {
            cluster: self.name.clone(),
            subnets: vec![self.subnet().await],
            security_groups: Vec::new(),
            public_ip: true,
            capacity,
            table: self.name.clone(),
            bucket: self.name.clone(),
            links_role: format!("arn:aws:iam::{ACCOUNT}:role/{}-links", self.name),
            log_group: self.name.clone(),
        }
    }

    /// One of the account's subnets: RunTask asks for one that is there. No SDK of ours speaks EC2.
    async fn subnet(&self) -> String {
        let answer = self.test("subnets", json!({})).await;
        answer[0].as_str().unwrap().to_owned()
    }

    /// Table, queues and bucket.
    pub(crate) async fn with_storage() -> Option<Self> {
        let aws = Self::new().await?;
        aws.make_table().await;
        aws.make_queues().await;
        aws.make_bucket().await;
        Some(aws)
    }

    /// Asks the stand-in for what AWS itself has not: see tests/aws/moto_server.py.
    pub(crate) async fn test(&self, what: &str, how: Value) -> Value {
        let url = format!("{}/_test/{what}", self.endpoint);
        let call = move || {
            let agent = ureq::Agent::from(ureq::Agent::config_builder().http_status_as_error(false).build());
            let mut answer = agent.post(&url).send(how.to_string()).unwrap();
            let text = answer.body_mut().with_config().limit(100 << 20).read_to_string().unwrap();
            assert!(answer.status().is_success(), "{text}");
            serde_json::from_str(&text).unwrap()
        };
        tokio::task::spawn_blocking(call).await.unwrap()
    }

    /// Lets time pass for the stack's queues.
    pub(crate) async fn advance(&self, seconds: i64) {
        self.test("advance", json!({ "queues": self.name, "seconds": seconds })).await;
    }
}

fn credentials(key: &str) -> SharedCredentialsProvider {
    SharedCredentialsProvider::new(Credentials::new(key, "secret", None, None, "test"))
}

async fn config(endpoint: &str, key: &str) -> SdkConfig {
    aws_config::defaults(BehaviorVersion::latest())
        .region(Region::new(REGION))
        .credentials_provider(credentials(key))
        .endpoint_url(endpoint)
        .http_client(connections())
        .load()
        .await
}
