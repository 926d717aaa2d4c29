//! Every environment variable: its name, default and meaning. `.env.example` is made from this table.

/// One variable.
#[derive(Debug, Clone, Copy)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// Its value when unset.
    pub default: Option<&'static str>,
    /// What it means, one or two sentences.
    pub meaning: &'static str,
    /// Whether its value must never be shown.
    pub secret: bool,
}

const fn plain(name: &'static str, default: &'static str, meaning: &'static str) -> Variable {
    Variable { name, default: Some(default), meaning, secret: false }
}

const fn unset(name: &'static str, meaning: &'static str) -> Variable {
    Variable { name, default: None, meaning, secret: false }
}

const fn secret(name: &'static str, meaning: &'static str) -> Variable {
    Variable { name, default: None, meaning, secret: true }
}

/// All of them but those of the CLIs (`cloud_code_model::cli::VARIABLES`), in the order of `.env.example`.
pub const VARIABLES: &[Variable] = &[
    plain("LISTEN_ADDR", "127.0.0.1:8080", "Address and port the server listens on."),
    unset(
        "PUBLIC_URL",
        "Where people and GitHub reach the server, e.g. https://cloud-code.example.com; links in comments use it.",
    ),
    secret(
        "API_TOKENS",
        "Comma-separated tokens for the API and the pages, each at least 16 characters. Without any, both are closed.",
    ),
    plain(
        "LOG",
        "info",
        "What is logged: error, warn, info, debug or a tracing filter such as info,cloud_code=debug.",
    ),
    plain("LOG_FORMAT", "text", "`text` for people or `json` for machines."),
    secret(
        "GITHUB_WEBHOOK_SECRET",
        "The secret set in the GitHub App's webhook settings. The server does not start without it.",
    ),
    unset("GITHUB_APP_ID", "The GitHub App's id (a number)."),
    unset("GITHUB_APP_NAME", "The GitHub App's slug, as in https://github.com/apps/SLUG."),
    secret("GITHUB_PRIVATE_KEY", "The GitHub App's private key, PEM; line breaks may be written as \\n."),
    unset("GITHUB_PRIVATE_KEY_FILE", "A file with the private key, instead of GITHUB_PRIVATE_KEY."),
    plain(
        "GITHUB_URL",
        "https://github.com",
        "GitHub's web address; git uses it too. Set it for Enterprise Server.",
    ),
    unset(
        "GITHUB_API_URL",
        "GitHub's API address. Default: https://api.github.com, or GITHUB_URL/api/v3 for Enterprise Server.",
    ),
    plain(
        "DATA_DIR",
        "./data",
        "Where the database, mirrors, workspaces and artifacts live. Agent containers mount folders below it.",
    ),
    unset(
        "MIRROR_FREE_MB",
        "While fewer megabytes than this are free on the disk of DATA_DIR, copies of repositories that no job uses are removed, the least \
         recently used first. Default: 2048, or a quarter of the disk where that is less.",
    ),
    unset("DATABASE_URL", "sqlite:PATH or dynamodb://TABLE. Default: sqlite:DATA_DIR/cloud-code.db."),
    unset(
        "QUEUE_URL",
        "SQS queues without the last part of their names, e.g. https://sqs.eu-west-1.amazonaws.com/123456789012/cloud-code; \
         ?table=TABLE&bucket=BUCKET where DATABASE_URL and ARTIFACTS_URL don't say them. Default: the database.",
    ),
    unset("ARTIFACTS_URL", "s3://BUCKET for what jobs leave. Default: DATA_DIR."),
    unset(
        "SECRETS_URL",
        "vault:MOUNT/PATH (vault: is vault:secret/cloud-code; docs/secrets.md) or secretsmanager://PREFIX. Default: the sealed file in \
         DATA_DIR.",
    ),
    unset(
        "VAULT_URL",
        "For SECRETS_URL=vault: where Vault is, e.g. https://vault.example.com:8200; http on this machine only. Default: VAULT_ADDR.",
    ),
    unset("VAULT_ADDR", "The name that Vault's own programs have for VAULT_URL."),
    unset(
        "VAULT_NAMESPACE",
        "For SECRETS_URL=vault: the namespace, in Vault Enterprise and HCP (there mostly `admin`).",
    ),
    unset(
        "VAULT_CACERT",
        "For SECRETS_URL=vault: a PEM file of the certificates to trust with Vault, instead of the system's.",
    ),
    secret("VAULT_TOKEN", "For SECRETS_URL=vault: a token; it is renewed while it may be. Or an AppRole."),
    unset(
        "VAULT_TOKEN_FILE",
        "A file with the token instead, such as Vault Agent keeps; it is read again when Vault takes the token no more.",
    ),
    unset("VAULT_ROLE_ID", "For SECRETS_URL=vault: the AppRole's id, instead of a token."),
    unset("VAULT_ROLE_ID_FILE", "A file with it instead."),
    secret("VAULT_SECRET_ID", "The AppRole's secret id."),
    unset("VAULT_SECRET_ID_FILE", "A file with it instead; it is read at each login."),
    unset(
        "CONFIG_SECRET",
        "For the Lambda functions: comma-separated Secrets Manager secrets that hold further variables, each as a JSON object.",
    ),
    secret(
        "CLOUD_CODE_SECRETS_KEY",
        "32 bytes in base64 that open the sealed secrets. Default: made once, in DATA_DIR/secrets.key.",
    ),
    plain(
        "RUNNER",
        "docker",
        "Where jobs run: `docker`, `ecs` for Fargate tasks, or `process` for development: child processes of the server, which is \
         no sandbox.",
    ),
    unset("ECS_CLUSTER", "For RUNNER=ecs: the cluster."),
    unset("ECS_SUBNETS", "For RUNNER=ecs: comma-separated subnets of the tasks."),
    unset("ECS_SECURITY_GROUPS", "For RUNNER=ecs: comma-separated security groups of the tasks."),
    plain(
        "ECS_PUBLIC_IP",
        "false",
        "For RUNNER=ecs: whether tasks get public addresses, which public subnets without NAT need.",
    ),
    plain("ECS_CAPACITY", "spot-or-on-demand", "For RUNNER=ecs: `on-demand`, `spot` or `spot-or-on-demand`."),
    unset(
        "ECS_LINKS_ROLE",
        "For RUNNER=ecs: the ARN of the role whose sessions sign the links to a job's files.",
    ),
    unset("ECS_LOG_GROUP", "For RUNNER=ecs: the tasks' CloudWatch log group."),
    unset(
        "DOCKER_HOST",
        "The Docker daemon, e.g. unix:///run/user/1000/docker.sock. Default: /var/run/docker.sock.",
    ),
    unset("DOCKER_NETWORK", "The Docker network that agent containers join. Default: Docker's own bridge."),
    unset(
        "DOCKER_EXTRA_HOSTS",
        "Comma-separated NAME:ADDRESS for agent containers, e.g. host.docker.internal:host-gateway.",
    ),
    plain(
        "NETWORK",
        "restricted",
        "The network of jobs that do not say, in Docker: `none`, `restricted` (a proxy lets through what is allowed) or `open`.",
    ),
    plain(
        "NETWORK_ALLOW",
        "llm,registries",
        "Comma-separated hosts that restricted jobs may reach: presets (docs/network.md), HOST, *.HOST, HOST:PORT. The hosts of *_BASE_URL are allowed by themselves.",
    ),
    unset("CONCURRENCY", "Jobs that run at once. Default: the number of cores."),
    plain(
        "AGENT_IMAGE_PREFIX",
        "cloud-code-agent-",
        "Agent images are named by this and the CLI's name, e.g. cloud-code-agent-claude-code.",
    ),
    plain("AGENT_IMAGE_TAG", "latest", "The agent images' tag."),
    plain("AGENT_MEMORY_MB", "4096", "Memory of an agent container in MiB."),
    plain("AGENT_CPUS", "2", "Cores of an agent container."),
    plain("AGENT_PIDS", "1024", "Processes and threads of an agent container."),
    plain("DEFAULT_CLI", "claude-code", "The CLI of an agent step that names none."),
    unset("BUDGET_USD", "US dollars a job may cost, unless its workflow says otherwise. Default: no limit."),
    plain("SILENCE_MINUTES", "10", "Minutes without any output after which a CLI counts as hung."),
    plain("LABEL", "cloud-code", "The label that starts a run."),
    plain(
        "DRAFT_PULL_REQUESTS",
        "false",
        "Whether pull requests of successful runs are opened as drafts. Those of partial work always are.",
    ),
    plain("MAX_CHANGED_FILES", "100", "Files that a change may touch."),
    plain("MAX_CHANGE_BYTES", "4194304", "Bytes that a change may have as a git bundle."),
    plain(
        "PROTECTED_PATHS",
        ".github/workflows/,.github/actions/,.cloud-code/",
        "Comma-separated folders that a change may not touch.",
    ),
    unset("ALLOWED_BOTS", "Comma-separated logins of bots that may start runs."),
    plain(
        "COMMIT_AUTHOR_NAME",
        "cloud-code[bot]",
        "Author of commits that the agent makes of what a CLI left uncommitted.",
    ),
    plain("COMMIT_AUTHOR_EMAIL", "cloud-code[bot]@users.noreply.github.com", "That author's address."),
    plain(
        "LEASE_SECONDS",
        "90",
        "Seconds without a heartbeat after which an agent is looked for, and after as many again given up.",
    ),
    plain(
        "REDELIVERY_MINUTES",
        "5",
        "How often GitHub is asked which deliveries failed, to send them again; 0: never. It keeps them for three days.",
    ),
    plain(
        "LAUNCH_TRIES",
        "6",
        "How often a job's start is tried while Docker does not answer; the waits grow from 2 to 32 s.",
    ),
    plain("SWEEP_SECONDS", "60", "Seconds between two sweeps."),
    unset(
        "CLOUD_CODE_PRICES",
        "What tokens cost with CLIs that do not say, instead of the table that comes with the agent: YAML, or a path inside the containers.",
    ),
    plain("CLOUD_CODE_SERVER", "http://127.0.0.1:8080", "For `cloud-code runs`: the server."),
    secret("CLOUD_CODE_TOKEN", "For `cloud-code runs`: one of the server's API_TOKENS."),
];

/// The text of `.env.example`.
pub fn example() -> String {
    let mut out = String::from(
        "# Settings of Cloud Code. Copy to .env and fill in; a line that begins with # keeps its default.\n\
         # Made from src/config/variables.rs and model/src/cli.rs: change that, then run `UPDATE=1 cargo test --test it env_example`.\n",
    );
    for variable in VARIABLES {
        out.push_str(&format!("\n# {}\n", variable.meaning));
        out.push_str(&format!("#{}={}\n", variable.name, variable.default.unwrap_or_default()));
    }
    for variable in cloud_code_model::cli::VARIABLES {
        let takers: Vec<&str> = variable.takers().map(|cli| cli.name).collect();
        out.push_str(&format!("\n# For {}: {}\n#{}=\n", takers.join(", "), variable.meaning, variable.name));
    }
    out
}
