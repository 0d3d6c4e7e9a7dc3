"""The groups of settings, field by field; `domain.settings` reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, field_validator


def _http_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
        raise ValueError("not a URL such as http://host:port")
    if "@" in parts.netloc:
        raise ValueError("a URL that is shown and logged holds no password; there is a key for it")
    return value


def _any_url(value: SecretStr) -> SecretStr:
    if not urlsplit(value.get_secret_value()).scheme:
        raise ValueError("not a URL such as scheme://user:password@host:port/name")
    return value


HttpUrl = Annotated[str, AfterValidator(_http_url)]
SecretUrl = Annotated[SecretStr, AfterValidator(_any_url)]
Key = Annotated[SecretStr, Field(min_length=1)]


class Group(BaseModel):
    """A group of settings: unknown names are refused, values are finite and fixed once read."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class CatalogSettings(Group):
    url: SecretUrl | None = Field(
        None, description="SQLAlchemy URL of the ledger. Default: SQLite in the data directory."
    )
    busy_timeout_s: float = Field(
        30.0, gt=0, description="How long a writer waits for SQLite's lock before it gives up."
    )


class BrokerSettings(Group):
    url: SecretUrl | None = Field(
        None, description="Celery broker URL. Default: the Valkey that `firstlight up` starts."
    )
    port: int = Field(7379, ge=1, le=65535, description="Port of the embedded Valkey (loopback).")
    visibility_timeout_s: int = Field(
        600, ge=10, description="After this a message that was taken but not finished comes back."
    )


class IndexSettings(Group):
    url: HttpUrl | None = Field(
        None, description="URL of a Qdrant server >= 1.17. Default: the embedded index server."
    )
    port: int = Field(7333, ge=1, le=65535, description="Port of the embedded index server.")
    api_key: SecretStr | None = Field(None, description="Key of the index, embedded or not.")
    alias: str = Field(
        "items",
        pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}$",
        description="Alias of the serving collection, and how every collection's name begins.",
    )
    timeout_s: float = Field(30.0, gt=0, description="Bound on one call to the index.")
    exact_up_to: int = Field(
        50_000, ge=0, description="Up to this many points search is exact; beyond it, HNSW."
    )
    hnsw_m: int = Field(32, ge=4, le=128, description="Edges per node of the HNSW graph.")
    hnsw_ef_construct: int = Field(256, ge=4, description="Candidates while the graph is built.")
    hnsw_ef: int = Field(512, ge=1, description="Candidates while the graph is searched.")


class EncoderSettings(Group):
    pack: Literal["starter", "standard", "tiny"] = Field(
        "starter", description="Which set of models: see `firstlight models`."
    )
    text_model: str | None = Field(
        None, description="Text model by hub id or local path, instead of the pack's."
    )
    image_model: str | None = Field(
        None,
        description="open_clip model as ARCHITECTURE/CHECKPOINT, hf-hub:ID or local-dir:PATH.",
    )
    audio_model: str | None = Field(
        None, description="Wav2Vec2-family model by hub id or local path, instead of the pack's."
    )
    user_model: str | None = Field(
        None, description="Embedder of the user's profile by hub id or local path."
    )
    audio_layer: int | Literal["mean"] | None = Field(
        None,
        description="Hidden layer of the audio model, or mean over all; default: the pack's.",
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = Field(
        "auto", description="Where encoders run; auto takes cuda, else mps, else cpu."
    )
    precision: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto",
        description="auto probes at start and takes a half precision where it is faster and"
        " within cosine .999 of float32, per encoder.",
    )
    threads: int | None = Field(
        None, ge=1, description="Cores of a CPU to encode on. Default: those this process may use."
    )
    queue_items: int = Field(
        1024, ge=1, description="Inputs that may wait before one encoder; more block."
    )
    max_wait_ms: float = Field(
        5.0, ge=0, description="How long a batch may wait for company while others are on the way."
    )
    timeout_s: float = Field(
        120.0, gt=0, description="Bound on one encoding, waiting included; then it is retried."
    )
    cache_bytes: int = Field(
        2 * 2**30, ge=0, description="Size of the on-disk embedding cache; 0 switches it off."
    )
    audio_window_s: float = Field(10.0, gt=0, description="Length of one audio window.")
    audio_windows: int = Field(
        6, ge=1, description="Windows spread over a long clip; the rest is not heard."
    )


class FusionSettings(Group):
    block_dim: int = Field(
        256, ge=2, description="Each block of the fused vector is reduced to at most this."
    )
    min_items: int = Field(
        50, ge=2, description="Indexed items from which the first bulk publish fits statistics."
    )
    sample_items: int = Field(
        100_000, ge=100, description="Items read at most when statistics are fitted."
    )
    weights: dict[str, Annotated[float, Field(gt=0)]] = Field(
        default_factory=dict,
        description='Weight per block as JSON, such as {"text": 1.0, "audio": 0.5}; defaults in'
        " docs/fusion.md.",
    )


class FetchSettings(Group):
    local_dirs: list[Path] = Field(
        default_factory=list,
        description="JSON list of directories from which file paths may be read; default none.",
    )
    allow_http: bool = Field(True, description="Whether http:// is allowed beside https://.")
    allow_private: list[str] = Field(
        default_factory=list,
        description="JSON list of HOST or HOST:PORT that may resolve to a private or loopback"
        " address (a media server of your own); default none.",
    )
    timeout_s: float = Field(20.0, gt=0, description="Bound on one download, all of it.")
    connect_timeout_s: float = Field(5.0, gt=0, description="Bound on connecting.")
    redirects: int = Field(3, ge=0, description="Redirects followed; each target is checked.")
    image_bytes: int = Field(20 * 2**20, ge=1, description="Bytes of one picture.")
    image_pixels: int = Field(50_000_000, ge=1, description="Pixels of one picture.")
    audio_bytes: int = Field(100 * 2**20, ge=1, description="Bytes of one clip.")
    audio_duration_s: float = Field(3600.0, gt=0, description="Seconds of one clip.")
    host_connections: int = Field(8, ge=1, description="Downloads at once from one host.")
    connections: int = Field(32, ge=1, description="Downloads at once in all.")


class WorkerSettings(Group):
    concurrency: int = Field(8, ge=1, description="Threads of one worker process.")
    lanes: str = Field(
        "text,image,audio,bulk,train", description="Comma-separated queues that a worker serves."
    )
    bulk_batch: int = Field(64, ge=1, le=64, description="Pairs in one bulk message.")
    max_attempts: int = Field(5, ge=1, description="Attempts before an item is declared dead.")
    retry_base_s: float = Field(5.0, gt=0, description="First wait; doubled with every attempt.")
    retry_max_s: float = Field(3600.0, gt=0, description="Longest wait between attempts.")
    pending_resend_s: float = Field(
        60.0, gt=0, description="Pending longer than this, an item is sent again."
    )
    lease_s: float = Field(
        180.0, gt=0, description="A worker that took an item and is silent this long is held dead."
    )
    reconcile_every_s: float = Field(10.0, gt=0, description="How often the reconciler looks.")
    upload_days: int = Field(
        30, ge=0, description="Days after which an upload that no item names is removed; 0: never."
    )
    soft_shutdown_s: float = Field(
        20.0, ge=0, description="How long a worker that is told to stop may finish its tasks."
    )
    metrics_port: int | None = Field(
        None, ge=1, le=65535, description="Port of a worker's own /metrics; default none."
    )
    metrics_host: str = Field(
        "127.0.0.1", description="Address on which a worker's /metrics listens."
    )


class ApiSettings(Group):
    host: str = Field("127.0.0.1", description="Address to listen on; loopback without keys.")
    port: int = Field(7300, ge=1, le=65535, description="Port of the HTTP API.")
    url: HttpUrl | None = Field(
        None, description="Where the command line finds the API. Default: this machine's."
    )
    key: SecretStr | None = Field(None, description="Key that the command line sends.")
    write_keys: list[Key] = Field(
        default_factory=list, description="JSON list of keys that may publish and read."
    )
    read_keys: list[Key] = Field(
        default_factory=list, description="JSON list of keys that may only read."
    )
    flower_port: int = Field(7355, ge=1, le=65535, description="Port of Flower on request.")
    upload_bytes: int = Field(100 * 2**20, ge=1, description="Bytes of one upload.")
    max_limit: int = Field(1000, ge=1, description="Most results that one query may ask for.")
    user_cache: int = Field(
        10_000, ge=0, description="Encoded profiles held in memory, by hash of prompt and model."
    )
    user_cache_s: float = Field(
        3600.0, ge=0, description="Seconds after which an encoded profile is encoded again."
    )
    item_cache: int = Field(
        20_000, ge=0, description="Item vectors held in memory to explain scores."
    )


class RankingSettings(Group):
    history_half_life_days: float = Field(
        30.0, gt=0, description="After this an interaction counts half."
    )
    history_items: int = Field(
        50,
        ge=1,
        description="Different indexed items that make up a user's history, those met last.",
    )
    profile_weight_k0: float = Field(
        3.0, gt=0, description="rho = k0 / (k0 + n): how slowly history takes over from profile."
    )
    factors: int = Field(
        128, ge=1, description="Numbers of an item's collaborative factors, of new collections."
    )
    graph_dim: int = Field(
        64, ge=1, description="Numbers of an item's place in the graph, of new collections."
    )
    train_every_s: float = Field(
        21_600.0, ge=0, description="How often training looks for new interactions; 0: never."
    )
    learned_options: list[Literal["infonce", "ease-distillation", "gated-fusion"]] = Field(
        ["infonce", "ease-distillation"],
        description="JSON list of what a whole training sets beside the closed-form A; one serves"
        " only where it beats it. [] sets nothing beside it, and is several times faster; with"
        " gated-fusion, a win moves every point to another collection.",
    )
    concepts: int = Field(
        0,
        ge=0,
        description="A goes through so many concepts, which leaves a user and an item so many"
        " coordinates; no learned option is tried then. 0: full rank.",
    )
    refresh_every_s: float = Field(
        10.0, gt=0, description="How often items that people took are counted and folded in."
    )
    prompt_history: int = Field(
        0,
        ge=0,
        le=20,
        description="Titles of the last so many items that a profile's prompt ends in.",
    )
    scrub_pii: bool = Field(
        True,
        description="Take e-mail addresses, phone and card numbers out of a profile before it is"
        " encoded.",
    )
    pii_regions: list[str] = Field(
        ["US", "GB", "DE", "FR", "ES", "IT", "IN", "CN", "JP", "BR", "AU"],
        description="JSON list of countries whose national phone notation is looked for;"
        " international notation always is.",
    )

    @field_validator("pii_regions")
    @classmethod
    def _known_regions(cls, regions: list[str]) -> list[str]:
        from phonenumbers import SUPPORTED_REGIONS

        for region in regions:
            if region not in SUPPORTED_REGIONS:
                raise ValueError(f"{region!r} is no country; use two capital letters, such as GB")
        return regions

    diversity: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Strength of MMR where a request gives none; 0: by score alone.",
    )
    explore: float = Field(
        0.0, ge=0, le=1, description="Share of an answer set aside for exploration by default."
    )
    explore_unknown: float = Field(
        0.1, ge=0, le=1, description="At least this share for a user of whom nothing is known."
    )
    cold_share: float = Field(
        0.5, ge=0, le=1, description="Share of what explores that is for items nobody touched."
    )
    explore_prior: float = Field(
        10.0, gt=0, description="k: after so many interactions half of an item's variance is left."
    )
    explore_scale: float = Field(
        1.0,
        ge=0,
        description="Standard deviations of the candidates' scores that an untried one varies by.",
    )
    near_cosine: float = Field(
        0.95, gt=0, le=1, description="Above this cosine of content two items are near-duplicates."
    )
    near_duplicates: int = Field(
        1, ge=0, description="Near-duplicates in one answer at most; 0: no limit."
    )
    bias_limit: float = Field(
        3.0,
        ge=0,
        description="Standard deviations above the mean that a trained bias counts; 0: no limit.",
    )
