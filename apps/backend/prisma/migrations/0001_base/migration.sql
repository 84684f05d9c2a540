-- The base schema. Applied by the database's owner; the backend works as a member of dcompute_app, whose rights are at the end.

CREATE EXTENSION IF NOT EXISTS citext;

CREATE TYPE "Role" AS ENUM ('RENT', 'LEASE', 'BOTH');
CREATE TYPE "AccountKind" AS ENUM ('PERSON', 'TEAM');
CREATE TYPE "NodeStatus" AS ENUM ('online', 'busy', 'maintenance', 'suspect', 'unreachable', 'lost');
CREATE TYPE "RentalStatus" AS ENUM ('PENDING', 'PROVISIONING', 'RUNNING', 'STOPPING', 'STOPPED', 'TERMINATED', 'FAILED');
CREATE TYPE "RentalPhase" AS ENUM ('scheduled', 'pulling', 'creating', 'starting', 'probing');
CREATE TYPE "RentalHealth" AS ENUM ('ok', 'suspect', 'unreachable');
CREATE TYPE "DesiredState" AS ENUM ('running', 'stopped', 'deleted');
CREATE TYPE "InstancePhase" AS ENUM ('scheduled', 'pulling', 'creating', 'starting', 'probing', 'running', 'stopping', 'stopped', 'deleted', 'failed');
CREATE TYPE "RunType" AS ENUM ('ssh', 'args', 'jupyter');
CREATE TYPE "TransactionType" AS ENUM ('CREDIT', 'DEBIT');
CREATE TYPE "GpuAllocationState" AS ENUM ('active', 'claimed', 'releasing');
CREATE TYPE "PortLeaseState" AS ENUM ('live', 'revoked', 'resting');
CREATE TYPE "LedgerAccountKind" AS ENUM ('renter_available', 'renter_held', 'renter_receivable', 'host_pending', 'host_payable', 'platform_fee', 'platform_promotions', 'platform_absorbed', 'stripe_clearing');

-- Identity ------------------------------------------------------------------------------------------------------------

CREATE TABLE "User" (
  "id" UUID NOT NULL DEFAULT gen_random_uuid(),
  "publicId" SERIAL NOT NULL,
  "clerkId" TEXT NOT NULL,
  "email" CITEXT NOT NULL,
  "displayName" TEXT,
  "kind" "AccountKind" NOT NULL DEFAULT 'PERSON',
  "role" "Role" NOT NULL DEFAULT 'BOTH',
  "isOperator" BOOLEAN NOT NULL DEFAULT false,
  "isSystem" BOOLEAN NOT NULL DEFAULT false,
  "balance" NUMERIC(20,6) NOT NULL DEFAULT 0,
  "disabledAt" TIMESTAMPTZ(3),
  "createdAt" TIMESTAMPTZ(3) NOT NULL DEFAULT now(),
  CONSTRAINT "User_pkey" PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "User_publicId_key" ON "User" ("publicId");
CREATE UNIQUE INDEX "User_clerkId_key" ON "User" ("clerkId");
CREATE UNIQUE INDEX "User_email_key" ON "User" ("email");

CREATE TABLE "Membership" (
  "id" UUID NOT NULL DEFAULT gen_random_uuid(),
  "teamId" UUID NOT NULL REFERENCES "User" ("id") ON DELETE CASCADE,
  "personId" UUID NOT NULL REFERENCES "User" ("id") ON DELETE CASCADE,
  "role" TEXT NOT NULL,
  "createdAt" TIMESTAMPTZ(3) NOT NULL DEFAULT now(),
  CONSTRAINT "Membership_pkey" PRIMARY KEY ("id"),
  CONSTRAINT "Membership_role_check" CHECK ("role" IN ('owner', 'admin', 'member')),
  CONSTRAINT "Membership_distinct_check" CHECK ("teamId" <> "personId")
);
CREATE UNIQUE INDEX "Membership_teamId_personId_key" ON "Membership" ("teamId", "personId");
CREATE INDEX "Membership_personId_idx" ON "Membership" ("personId");

-- The embedded identity (better-auth's tables and columns).
CREATE TABLE "identity_user" (
  "id" TEXT NOT NULL,
  "name" TEXT NOT NULL,
  "email" TEXT NOT NULL,
  "emailVerified" BOOLEAN NOT NULL DEFAULT false,
  "image" TEXT,
  "createdAt" TIMESTAMPTZ(3) NOT NULL DEFAULT now(),
  "updatedAt" TIMESTAMPTZ(3) NOT NULL DEFAULT now(),
  CONSTRAINT "identity_user_pkey" PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "identity_user_email_key" ON "identity_user" ("email");

CREATE TABLE "identity_session" (
  "id" TEXT NOT NULL,
  "userId" TEXT NOT NULL REFERENCES "identity_user" ("id") ON DELETE CASCADE,
  "token" TEXT NOT NULL,
  "expiresAt" TIMESTAMPTZ(3) NOT NULL,
  "ipAddress" TEXT,
  "userAgent" TEXT,
  "createdAt" TIMESTAMPTZ(3) NOT NULL DEFAULT now(),
  "updatedAt" TIMESTAMPTZ(3) NOT NULL DEFAULT now(),
  CONSTRAINT "identity_session_pkey" PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "identity_session_token_key" ON "identity_session" ("token");
CREATE INDEX "identity_session_userId_idx" ON "identity_session" ("userId");

CREATE TABLE "identity_account" (
  "id" TEXT NOT NULL,
  "userId" TEXT NOT NULL REFERENCES "identity_user" ("id") ON DELETE CASCADE,
  "accountId" TEXT NOT NULL,
  "providerId" TEXT NOT NULL,
  "accessToken" TEXT,
  "refreshToken" TEXT,
  "idToken" TEXT,
  "accessTokenExpiresAt" TIMESTAMPTZ(3),
  "refreshTokenExpiresAt" TIMESTAMPTZ(3),
  "scope" TEXT,
  "password" TEXT,
  "createdAt" TIMESTAMPTZ(3) NOT NULL DEFAULT now(),
  "updatedAt" TIMESTAMPTZ(3) NOT NULL DEFAULT now(),
  CONSTRAINT "identity_account_pkey" PRIMARY KEY ("id")
);
CREATE INDEX "identity_account_userId_idx" ON "identity_account" ("userId");

CREATE TABLE "identity_verification" (
  "id" TEXT NOT NULL,
  "identifier" TEXT NOT NULL,
  "value" TEXT NOT NULL,
  "expiresAt" TIMESTAMPTZ(3) NOT NULL,
  "createdAt" TIMESTAMPTZ(3) NOT NULL DEFAULT now(),
  "updatedAt" TIMESTAMPTZ(3) NOT NULL DEFAULT now(),
  CONSTRAINT "identity_verification_pkey" PRIMARY KEY ("id")
);
CREATE INDEX "identity_verification_identifier_idx" ON "identity_verification" ("identifier");

CREATE TABLE "identity_jwks" (
  "id" TEXT NOT NULL,
  "publicKey" TEXT NOT NULL,
  "privateKey" TEXT NOT NULL,
  "alg" TEXT,
  "crv" TEXT,
  "createdAt" TIMESTAMPTZ(3) NOT NULL DEFAULT now(),
  "expiresAt" TIMESTAMPTZ(3),
  CONSTRAINT "identity_jwks_pkey" PRIMARY KEY ("id")
);

-- Secrets at rest: AES-256-GCM, the row's id as associated data.
CREATE TABLE "Secret" (
  "id" UUID NOT NULL DEFAULT gen_random_uuid(),
  "kind" TEXT NOT NULL,
  "keyId" TEXT NOT NULL,
  "ciphertext" BYTEA NOT NULL,
  "createdAt" TIMESTAMPTZ(3) NOT NULL DEFAULT now(),
  CONSTRAINT "Secret_pkey" PRIMARY KEY ("id")
);
CREATE INDEX "Secret_keyId_idx" ON "Secret" ("keyId");

CREATE TABLE "ApiKey" (
  "id" UUID NOT NULL DEFAULT gen_random_uuid(),
  "userId" UUID NOT NULL REFERENCES "User" ("id") ON DELETE CASCADE,
  "createdById" UUID NOT NULL REFERENCES "User" ("id"),
  "name" TEXT NOT NULL,
  "prefix" TEXT NOT NULL,
  "secretHash" BYTEA NOT NULL,
  "scopes" TEXT[] NOT NULL,
  "lastUsedAt" TIMESTAMPTZ(3),
  "expiresAt" TIMESTAMPTZ(3),
  "revokedAt" TIMESTAMPTZ(3),
  "createdAt" TIMESTAMPTZ(3) NOT NULL DEFAULT now(),
  CONSTRAINT "ApiKey_pkey" PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "ApiKey_secretHash_key" ON "ApiKey" ("secretHash");
CREATE INDEX "ApiKey_userId_idx" ON "ApiKey" ("userId");

CREATE TABLE "SshKey" (
  "id" UUID NOT NULL DEFAULT gen_random_uuid(),
  "publicId" SERIAL NOT NULL,
  "userId" UUID NOT NULL REFERENCES "User" ("id") ON DELETE CASCADE,
  "name" TEXT NOT NULL,
  "publicKey" TEXT NOT NULL,
  "fingerprint" TEXT NOT NULL,
  "createdAt" TIMESTAMPTZ(3) NOT NULL DEFAULT now(),
  CONSTRAINT "SshKey_pkey" PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "SshKey_publicId_key" ON "SshKey" ("publicId");
CREATE UNIQUE INDEX "SshKey_userId_fingerprint_key" ON "SshKey" ("userId", "fingerprint");

CREATE TABLE "Template" (
  "id" UUID NOT NULL DEFAULT gen_random_uuid(),
  "publicId" SERIAL NOT NULL,
  "userId" UUID REFERENCES "User" ("id") ON DELETE CASCADE,
  "name" TEXT NOT NULL,
  "image" TEXT NOT NULL,
  "runType" "RunType" NOT NULL DEFAULT 'ssh',
  "command" TEXT[] NOT NULL DEFAULT '{}',
  "env" JSONB NOT NULL DEFAULT '{}',
  "ports" INTEGER[] NOT NULL DEFAULT '{}',
  "createdAt" TIMESTAMPTZ(3) NOT NULL DEFAULT now(),
  CONSTRAINT "Template_pkey" PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "Template_publicId_key" ON "Template" ("publicId");
CREATE INDEX "Template_userId_idx" ON "Template" ("userId");

-- Nodes ---------------------------------------------------------------------------------------------------------------

CREATE TABLE "HostNode" (
  "id" UUID NOT NULL DEFAULT gen_random_uuid(),
  "publicId" SERIAL NOT NULL,
  "ownerId" UUID NOT NULL REFERENCES "User" ("id"),
  "name" TEXT NOT NULL,
  "specs" JSONB NOT NULL,
  "pricingConfig" JSONB NOT NULL,
  "status" "NodeStatus" NOT NULL DEFAULT 'online',
  "locationData" JSONB,
  "publicKey" TEXT NOT NULL,
  "agentVersion" TEXT,
  "protocolVersion" INTEGER,
  "bootId" TEXT,
  "sessionEpoch" INTEGER NOT NULL DEFAULT 0,
  "sessionId" TEXT,
  "connectedAt" TIMESTAMPTZ(3),
  "lastSeenAt" TIMESTAMPTZ(3),
  "rev" BIGINT NOT NULL DEFAULT 0,
  "frozenAt" TIMESTAMPTZ(3),
  "frozenReason" TEXT,
  "draining" BOOLEAN NOT NULL DEFAULT false,
  "rentableByOwnerOnly" BOOLEAN NOT NULL DEFAULT false,
  "cloneSuspectedAt" TIMESTAMPTZ(3),
  "tunnelTokenSecretId" UUID REFERENCES "Secret" ("id"),
  "tunnelTokenHash" TEXT,
  "evictedAt" TIMESTAMPTZ(3),
  "createdAt" TIMESTAMPTZ(3) NOT NULL DEFAULT now(),
  CONSTRAINT "HostNode_pkey" PRIMARY KEY ("id")
) WITH (fillfactor = 50);
CREATE UNIQUE INDEX "HostNode_publicId_key" ON "HostNode" ("publicId");
CREATE UNIQUE INDEX "HostNode_publicKey_key" ON "HostNode" ("publicKey");
CREATE INDEX "HostNode_ownerId_idx" ON "HostNode" ("ownerId");
-- "lastSeenAt" of every connected node moves every few seconds. It stands in no index, and pages are left half empty, so that
-- its new versions stay on their page and touch no index (HOT updates).
CREATE INDEX "HostNode_status_idx" ON "HostNode" ("status");

CREATE TABLE "HostKey" (
  "id" UUID NOT NULL DEFAULT gen_random_uuid(),
  "userId" UUID NOT NULL REFERENCES "User" ("id") ON DELETE CASCADE,
  "createdById" UUID NOT NULL REFERENCES "User" ("id"),
  "name" TEXT NOT NULL,
  "prefix" TEXT NOT NULL,
  "secretHash" BYTEA NOT NULL,
  "nodeId" UUID REFERENCES "HostNode" ("id"),
  "lastUsedAt" TIMESTAMPTZ(3),
  "revokedAt" TIMESTAMPTZ(3),
  "createdAt" TIMESTAMPTZ(3) NOT NULL DEFAULT now(),
  CONSTRAINT "HostKey_pkey" PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "HostKey_secretHash_key" ON "HostKey" ("secretHash");
CREATE INDEX "HostKey_userId_idx" ON "HostKey" ("userId");
CREATE INDEX "HostKey_nodeId_idx" ON "HostKey" ("nodeId");

CREATE TABLE "NodeCapacity" (
  "nodeId" UUID NOT NULL REFERENCES "HostNode" ("id") ON DELETE CASCADE,
  "totalCpuMillicores" INTEGER NOT NULL,
  "totalRamMib" INTEGER NOT NULL,
  "totalDiskGib" INTEGER NOT NULL,
  "freeCpuMillicores" INTEGER NOT NULL,
  "freeRamMib" INTEGER NOT NULL,
  "freeDiskGib" INTEGER NOT NULL,
  CONSTRAINT "NodeCapacity_pkey" PRIMARY KEY ("nodeId"),
  CONSTRAINT "NodeCapacity_cpu_check" CHECK ("freeCpuMillicores" >= 0),
  CONSTRAINT "NodeCapacity_ram_check" CHECK ("freeRamMib" >= 0),
  CONSTRAINT "NodeCapacity_disk_check" CHECK ("freeDiskGib" >= 0)
);

CREATE TABLE "NodeGpu" (
  "id" UUID NOT NULL DEFAULT gen_random_uuid(),
  "nodeId" UUID NOT NULL REFERENCES "HostNode" ("id") ON DELETE CASCADE,
  "uuid" TEXT NOT NULL,
  "index" INTEGER NOT NULL,
  "model" TEXT NOT NULL,
  "vramMib" INTEGER NOT NULL,
  "healthy" BOOLEAN NOT NULL DEFAULT true,
  CONSTRAINT "NodeGpu_pkey" PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "NodeGpu_nodeId_uuid_key" ON "NodeGpu" ("nodeId", "uuid");
CREATE INDEX "NodeGpu_uuid_idx" ON "NodeGpu" ("uuid");

CREATE TABLE "Offer" (
  "id" UUID NOT NULL,
  "publicId" SERIAL NOT NULL,
  "nodeId" UUID NOT NULL REFERENCES "HostNode" ("id") ON DELETE CASCADE,
  "shapeKey" TEXT NOT NULL,
  "gpuModel" TEXT,
  "gpuCount" INTEGER NOT NULL,
  "cpuMillicores" INTEGER NOT NULL,
  "ramMib" INTEGER NOT NULL,
  "diskGib" INTEGER NOT NULL,
  "pricePerHour" NUMERIC(20,6) NOT NULL,
  "rates" JSONB NOT NULL,
  "available" BOOLEAN NOT NULL,
  "retired" BOOLEAN NOT NULL DEFAULT false,
  "updatedAt" TIMESTAMPTZ(3) NOT NULL DEFAULT now(),
  CONSTRAINT "Offer_pkey" PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "Offer_publicId_key" ON "Offer" ("publicId");
CREATE UNIQUE INDEX "Offer_nodeId_shapeKey_key" ON "Offer" ("nodeId", "shapeKey");
CREATE INDEX "Offer_available_price_idx" ON "Offer" ("pricePerHour", "id") WHERE "available";
CREATE INDEX "Offer_available_model_price_idx" ON "Offer" ("gpuModel", "pricePerHour", "id") WHERE "available";

-- Rentals -------------------------------------------------------------------------------------------------------------

CREATE TABLE "Rental" (
  "id" UUID NOT NULL DEFAULT gen_random_uuid(),
  "publicId" SERIAL NOT NULL,
  "renterId" UUID NOT NULL REFERENCES "User" ("id"),
  "nodeId" UUID NOT NULL REFERENCES "HostNode" ("id"),
  "offerId" UUID NOT NULL,
  "createdById" UUID NOT NULL REFERENCES "User" ("id"),
  "apiKeyId" UUID REFERENCES "ApiKey" ("id"),
  "label" TEXT,
  "startTime" TIMESTAMPTZ(3) NOT NULL DEFAULT now(),
  "endTime" TIMESTAMPTZ(3),
  "costPerHour" NUMERIC(20,6) NOT NULL,
  "containerId" TEXT,
  "connectionInfo" JSONB,
  "status" "RentalStatus" NOT NULL DEFAULT 'PENDING',
  "phase" "RentalPhase",
  "pullProgress" JSONB,
  "health" "RentalHealth" NOT NULL DEFAULT 'ok',
  "endReason" TEXT,
  "endMessage" TEXT,
  "image" TEXT NOT NULL,
  "imageDigest" TEXT,
  "runType" "RunType" NOT NULL,
  "command" TEXT[] NOT NULL DEFAULT '{}',
  "containerPorts" INTEGER[] NOT NULL,
  "envSecretId" UUID REFERENCES "Secret" ("id"),
  "registrySecretId" UUID REFERENCES "Secret" ("id"),
  "sshHostKeySecretId" UUID NOT NULL REFERENCES "Secret" ("id"),
  "sshHostKeyFingerprint" TEXT NOT NULL,
  "sshHostPublicKey" TEXT NOT NULL,
  "sshAuthorizedKeys" TEXT[] NOT NULL,
  "gpuCount" INTEGER NOT NULL,
  "gpuUuids" TEXT[] NOT NULL DEFAULT '{}',
  "cpuMillicores" INTEGER NOT NULL,
  "ramMib" INTEGER NOT NULL,
  "diskGib" INTEGER NOT NULL,
  "ttlExpiresAt" TIMESTAMPTZ(3),
  "moneyCap" NUMERIC(20,6),
  "chargedTotal" NUMERIC(20,6) NOT NULL DEFAULT 0,
  "billedMs" BIGINT NOT NULL DEFAULT 0,
  "chargeSeq" INTEGER NOT NULL DEFAULT 0,
  "readyAt" TIMESTAMPTZ(3),
  "stopDecidedAt" TIMESTAMPTZ(3),
  "settledAt" TIMESTAMPTZ(3),
  "phaseStartedAt" TIMESTAMPTZ(3) NOT NULL DEFAULT now(),
  "phaseDeadlineAt" TIMESTAMPTZ(3),
  "phasesMs" JSONB NOT NULL DEFAULT '{}',
  "createdAt" TIMESTAMPTZ(3) NOT NULL DEFAULT now(),
  "updatedAt" TIMESTAMPTZ(3) NOT NULL DEFAULT now(),
  CONSTRAINT "Rental_pkey" PRIMARY KEY ("id"),
  CONSTRAINT "Rental_charge_check" CHECK ("chargedTotal" >= 0 AND ("moneyCap" IS NULL OR "chargedTotal" <= "moneyCap"))
);
CREATE UNIQUE INDEX "Rental_publicId_key" ON "Rental" ("publicId");
CREATE INDEX "Rental_renterId_createdAt_idx" ON "Rental" ("renterId", "createdAt" DESC, "id");
CREATE INDEX "Rental_nodeId_status_idx" ON "Rental" ("nodeId", "status");
CREATE INDEX "Rental_running_idx" ON "Rental" ("id") WHERE "status" = 'RUNNING';
CREATE INDEX "Rental_deadline_idx" ON "Rental" ("phaseDeadlineAt") WHERE "phaseDeadlineAt" IS NOT NULL;
CREATE INDEX "Rental_ttl_idx" ON "Rental" ("ttlExpiresAt") WHERE "ttlExpiresAt" IS NOT NULL AND "status" NOT IN ('TERMINATED', 'FAILED');
CREATE INDEX "Rental_unwell_idx" ON "Rental" ("nodeId") WHERE "health" <> 'ok' AND "status" NOT IN ('TERMINATED', 'FAILED');
CREATE INDEX "Rental_unsettled_idx" ON "Rental" ("stopDecidedAt") WHERE "stopDecidedAt" IS NOT NULL AND "settledAt" IS NULL;

CREATE TABLE "Placement" (
  "id" UUID NOT NULL DEFAULT gen_random_uuid(),
  "rentalId" UUID NOT NULL REFERENCES "Rental" ("id"),
  "nodeId" UUID NOT NULL REFERENCES "HostNode" ("id"),
  "incarnation" INTEGER NOT NULL DEFAULT 1,
  "gen" BIGINT NOT NULL DEFAULT 1,
  "desiredGen" BIGINT NOT NULL DEFAULT 1,
  "desired" "DesiredState" NOT NULL,
  "desiredReason" TEXT,
  "specSha" TEXT NOT NULL,
  "spec" JSONB NOT NULL,
  "current" BOOLEAN NOT NULL DEFAULT true,
  "nodeRev" BIGINT NOT NULL,
  "observedPhase" "InstancePhase",
  "observedGen" BIGINT,
  "observedContainerId" TEXT,
  "observedPhaseBootMs" BIGINT,
  "observedAt" TIMESTAMPTZ(3),
  "createdAt" TIMESTAMPTZ(3) NOT NULL DEFAULT now(),
  CONSTRAINT "Placement_pkey" PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "Placement_rentalId_current_key" ON "Placement" ("rentalId") WHERE "current";
CREATE INDEX "Placement_nodeId_nodeRev_idx" ON "Placement" ("nodeId", "nodeRev");
CREATE INDEX "Placement_rentalId_idx" ON "Placement" ("rentalId");
CREATE INDEX "Placement_nodeId_current_idx" ON "Placement" ("nodeId") WHERE "current";

-- One row per time between proven ready and the decision to stop.
CREATE TABLE "RunningPeriod" (
  "id" UUID NOT NULL DEFAULT gen_random_uuid(),
  "rentalId" UUID NOT NULL REFERENCES "Rental" ("id"),
  "n" INTEGER NOT NULL,
  "readyAt" TIMESTAMPTZ(3) NOT NULL,
  "stopDecidedAt" TIMESTAMPTZ(3),
  CONSTRAINT "RunningPeriod_pkey" PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "RunningPeriod_rentalId_n_key" ON "RunningPeriod" ("rentalId", "n");

CREATE TABLE "RentalRate" (
  "id" UUID NOT NULL DEFAULT gen_random_uuid(),
  "rentalId" UUID NOT NULL REFERENCES "Rental" ("id"),
  "validFrom" TIMESTAMPTZ(3) NOT NULL,
  "gpuPerHour" NUMERIC(20,6) NOT NULL,
  "cpuPerHour" NUMERIC(20,6) NOT NULL,
  "ramPerHour" NUMERIC(20,6) NOT NULL,
  "diskPerHour" NUMERIC(20,6) NOT NULL,
  "trafficPerGib" NUMERIC(20,6) NOT NULL,
  "totalPerHour" NUMERIC(20,6) NOT NULL,
  "reason" TEXT NOT NULL,
  "consentedById" UUID REFERENCES "User" ("id"),
  "createdAt" TIMESTAMPTZ(3) NOT NULL DEFAULT now(),
  CONSTRAINT "RentalRate_pkey" PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "RentalRate_rentalId_validFrom_key" ON "RentalRate" ("rentalId", "validFrom");

CREATE TABLE "RentalEvent" (
  "id" UUID NOT NULL DEFAULT gen_random_uuid(),
  "rentalId" UUID NOT NULL REFERENCES "Rental" ("id"),
  "type" TEXT NOT NULL,
  "fromStatus" "RentalStatus",
  "toStatus" "RentalStatus",
  "reason" TEXT,
  "message" TEXT,
  "data" JSONB NOT NULL DEFAULT '{}',
  "actorId" UUID REFERENCES "User" ("id"),
  "seq" BIGSERIAL NOT NULL,
  "createdAt" TIMESTAMPTZ(3) NOT NULL DEFAULT now(),
  CONSTRAINT "RentalEvent_pkey" PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "RentalEvent_seq_key" ON "RentalEvent" ("seq");
CREATE INDEX "RentalEvent_rentalId_seq_idx" ON "RentalEvent" ("rentalId", "seq");

CREATE TABLE "GpuAllocation" (
  "id" UUID NOT NULL DEFAULT gen_random_uuid(),
  "nodeId" UUID NOT NULL REFERENCES "HostNode" ("id"),
  "gpuUuid" TEXT NOT NULL,
  "rentalId" UUID NOT NULL REFERENCES "Rental" ("id"),
  "placementId" UUID NOT NULL REFERENCES "Placement" ("id"),
  "state" "GpuAllocationState" NOT NULL,
  "claimDeadlineAt" TIMESTAMPTZ(3),
  "createdAt" TIMESTAMPTZ(3) NOT NULL DEFAULT now(),
  "releasedAt" TIMESTAMPTZ(3),
  CONSTRAINT "GpuAllocation_pkey" PRIMARY KEY ("id")
);
-- The database itself refuses a double rent: one that uses a GPU or is being cleaned off it, and one that waits for it.
CREATE UNIQUE INDEX "GpuAllocation_in_use_key" ON "GpuAllocation" ("nodeId", "gpuUuid") WHERE "state" IN ('active', 'releasing') AND "releasedAt" IS NULL;
CREATE UNIQUE INDEX "GpuAllocation_claimed_key" ON "GpuAllocation" ("nodeId", "gpuUuid") WHERE "state" = 'claimed' AND "releasedAt" IS NULL;
CREATE INDEX "GpuAllocation_rentalId_idx" ON "GpuAllocation" ("rentalId");

CREATE TABLE "CapacityAllocation" (
  "id" UUID NOT NULL DEFAULT gen_random_uuid(),
  "nodeId" UUID NOT NULL REFERENCES "HostNode" ("id"),
  "rentalId" UUID NOT NULL REFERENCES "Rental" ("id"),
  "cpuMillicores" INTEGER NOT NULL,
  "ramMib" INTEGER NOT NULL,
  "diskGib" INTEGER NOT NULL,
  "computeReleasedAt" TIMESTAMPTZ(3),
  "diskReleasedAt" TIMESTAMPTZ(3),
  "createdAt" TIMESTAMPTZ(3) NOT NULL DEFAULT now(),
  CONSTRAINT "CapacityAllocation_pkey" PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "CapacityAllocation_rentalId_key" ON "CapacityAllocation" ("rentalId") WHERE "diskReleasedAt" IS NULL;
CREATE INDEX "CapacityAllocation_nodeId_idx" ON "CapacityAllocation" ("nodeId") WHERE "diskReleasedAt" IS NULL;

-- Tunnels -------------------------------------------------------------------------------------------------------------

CREATE TABLE "ProxyServer" (
  "id" UUID NOT NULL DEFAULT gen_random_uuid(),
  "name" TEXT NOT NULL,
  "host" TEXT NOT NULL,
  "bindPort" INTEGER NOT NULL,
  "serverName" TEXT NOT NULL,
  "caPem" TEXT NOT NULL,
  "authTokenSecretId" UUID NOT NULL REFERENCES "Secret" ("id"),
  "portStart" INTEGER NOT NULL,
  "portEnd" INTEGER NOT NULL,
  "guardCredentialHash" BYTEA,
  "rev" BIGINT NOT NULL DEFAULT 1,
  "enabled" BOOLEAN NOT NULL DEFAULT true,
  "lastSeenAt" TIMESTAMPTZ(3),
  "createdAt" TIMESTAMPTZ(3) NOT NULL DEFAULT now(),
  CONSTRAINT "ProxyServer_pkey" PRIMARY KEY ("id"),
  CONSTRAINT "ProxyServer_ports_check" CHECK ("portStart" BETWEEN 1 AND 65535 AND "portEnd" BETWEEN "portStart" AND 65535)
);
CREATE UNIQUE INDEX "ProxyServer_name_key" ON "ProxyServer" ("name");
CREATE UNIQUE INDEX "ProxyServer_guardCredentialHash_key" ON "ProxyServer" ("guardCredentialHash");

-- Under which rev of a proxy server its guard is told that a node's tunnel token was made, changed or taken away.
CREATE TABLE "ProxyNodeChange" (
  "proxyServerId" UUID NOT NULL REFERENCES "ProxyServer" ("id") ON DELETE CASCADE,
  "nodeId" UUID NOT NULL REFERENCES "HostNode" ("id") ON DELETE CASCADE,
  "rev" BIGINT NOT NULL,
  CONSTRAINT "ProxyNodeChange_pkey" PRIMARY KEY ("proxyServerId", "nodeId")
);
CREATE INDEX "ProxyNodeChange_proxyServerId_rev_idx" ON "ProxyNodeChange" ("proxyServerId", "rev");

CREATE TABLE "PortLease" (
  "id" UUID NOT NULL DEFAULT gen_random_uuid(),
  "proxyServerId" UUID NOT NULL REFERENCES "ProxyServer" ("id"),
  "rentalId" UUID NOT NULL REFERENCES "Rental" ("id"),
  "nodeId" UUID NOT NULL REFERENCES "HostNode" ("id"),
  "protocol" TEXT NOT NULL,
  "port" INTEGER,
  "hostLabel" TEXT,
  "containerPort" INTEGER NOT NULL,
  "proxyName" TEXT NOT NULL,
  "state" "PortLeaseState" NOT NULL DEFAULT 'live',
  "rev" BIGINT NOT NULL,
  "restingUntil" TIMESTAMPTZ(3),
  "createdAt" TIMESTAMPTZ(3) NOT NULL DEFAULT now(),
  "releasedAt" TIMESTAMPTZ(3),
  CONSTRAINT "PortLease_pkey" PRIMARY KEY ("id"),
  CONSTRAINT "PortLease_protocol_check" CHECK (("protocol" = 'tcp' AND "port" IS NOT NULL) OR ("protocol" = 'http' AND "hostLabel" IS NOT NULL))
);
CREATE UNIQUE INDEX "PortLease_port_key" ON "PortLease" ("proxyServerId", "port") WHERE "releasedAt" IS NULL;
CREATE UNIQUE INDEX "PortLease_hostLabel_key" ON "PortLease" ("proxyServerId", "hostLabel") WHERE "releasedAt" IS NULL;
CREATE INDEX "PortLease_proxyServerId_rev_idx" ON "PortLease" ("proxyServerId", "rev");
CREATE INDEX "PortLease_rentalId_idx" ON "PortLease" ("rentalId");
CREATE INDEX "PortLease_live_idx" ON "PortLease" ("nodeId", "proxyServerId") WHERE "state" = 'live';
CREATE INDEX "PortLease_resting_idx" ON "PortLease" ("restingUntil") WHERE "releasedAt" IS NULL AND "restingUntil" IS NOT NULL;

-- Proof of time -------------------------------------------------------------------------------------------------------

CREATE TABLE "UsageSegment" (
  "segmentId" TEXT NOT NULL,
  "nodeId" UUID NOT NULL REFERENCES "HostNode" ("id"),
  "rentalId" UUID NOT NULL REFERENCES "Rental" ("id"),
  "placementId" UUID NOT NULL REFERENCES "Placement" ("id"),
  "incarnation" INTEGER NOT NULL,
  "containerId" TEXT NOT NULL,
  "bootId" TEXT NOT NULL,
  "n" BIGINT NOT NULL,
  "fromMs" BIGINT NOT NULL,
  "toMs" BIGINT NOT NULL,
  "signature" TEXT NOT NULL,
  "receivedAt" TIMESTAMPTZ(3) NOT NULL,
  CONSTRAINT "UsageSegment_pkey" PRIMARY KEY ("segmentId"),
  CONSTRAINT "UsageSegment_range_check" CHECK ("toMs" > "fromMs" AND "fromMs" >= 0)
);
CREATE UNIQUE INDEX "UsageSegment_rentalId_bootId_fromMs_key" ON "UsageSegment" ("rentalId", "bootId", "fromMs");

-- The union of a rental's segments on the clock of one boot: neighbours melt into one range, so that a charge never reads
-- the segments again, and neither order nor doubling of reports can change what it reads (I6).
CREATE TABLE "RentalRun" (
  "rentalId" UUID NOT NULL REFERENCES "Rental" ("id"),
  "nodeId" UUID NOT NULL REFERENCES "HostNode" ("id"),
  "bootId" TEXT NOT NULL,
  "ranMs" INT8MULTIRANGE NOT NULL,
  CONSTRAINT "RentalRun_pkey" PRIMARY KEY ("rentalId", "nodeId", "bootId")
);
CREATE FUNCTION usage_segments_extend_runs() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
  INSERT INTO "RentalRun" AS run ("rentalId", "nodeId", "bootId", "ranMs")
  SELECT "rentalId", "nodeId", "bootId", range_agg(int8range("fromMs", "toMs"))
    FROM added GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
  ON CONFLICT ("rentalId", "nodeId", "bootId") DO UPDATE SET "ranMs" = run."ranMs" + excluded."ranMs";
  RETURN NULL;
END $$;
CREATE TRIGGER "UsageSegment_extend_runs" AFTER INSERT ON "UsageSegment"
  REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION usage_segments_extend_runs();

CREATE TABLE "NodeWindow" (
  "id" UUID NOT NULL DEFAULT gen_random_uuid(),
  "nodeId" UUID NOT NULL REFERENCES "HostNode" ("id"),
  "bootId" TEXT NOT NULL,
  "fromAt" TIMESTAMPTZ(3) NOT NULL,
  "toAt" TIMESTAMPTZ(3) NOT NULL,
  CONSTRAINT "NodeWindow_pkey" PRIMARY KEY ("id"),
  CONSTRAINT "NodeWindow_range_check" CHECK ("toAt" > "fromAt")
) WITH (fillfactor = 50);
-- Windows of a node begin one after the other and only "toAt" moves, which therefore stands in no index.
CREATE INDEX "NodeWindow_nodeId_fromAt_idx" ON "NodeWindow" ("nodeId", "fromAt" DESC);

CREATE TABLE "ProbeWindow" (
  "id" UUID NOT NULL DEFAULT gen_random_uuid(),
  "rentalId" UUID NOT NULL REFERENCES "Rental" ("id"),
  "fromAt" TIMESTAMPTZ(3) NOT NULL,
  "toAt" TIMESTAMPTZ(3) NOT NULL,
  "lastOkAt" TIMESTAMPTZ(3) NOT NULL,
  CONSTRAINT "ProbeWindow_pkey" PRIMARY KEY ("id"),
  CONSTRAINT "ProbeWindow_range_check" CHECK ("toAt" > "fromAt")
);
CREATE INDEX "ProbeWindow_rentalId_fromAt_idx" ON "ProbeWindow" ("rentalId", "fromAt" DESC);

-- The last probe of each rental: what says that SSH is broken while heartbeats go on.
CREATE TABLE "ProbeState" (
  "rentalId" UUID NOT NULL REFERENCES "Rental" ("id"),
  "lastAt" TIMESTAMPTZ(3) NOT NULL,
  "lastOkAt" TIMESTAMPTZ(3),
  "failingSince" TIMESTAMPTZ(3),
  "failure" TEXT,
  CONSTRAINT "ProbeState_pkey" PRIMARY KEY ("rentalId")
);
CREATE INDEX "ProbeState_failing_idx" ON "ProbeState" ("lastAt") WHERE "failingSince" IS NOT NULL;

CREATE TABLE "NodeClock" (
  "nodeId" UUID NOT NULL REFERENCES "HostNode" ("id"),
  "bootId" TEXT NOT NULL,
  "offsetMs" BIGINT NOT NULL,
  -- The smallest offset since "recentSince", which is at most half an hour ago: what "offsetMs" falls back to.
  "recentOffsetMs" BIGINT,
  "recentSince" TIMESTAMPTZ(3),
  "updatedAt" TIMESTAMPTZ(3) NOT NULL,
  CONSTRAINT "NodeClock_pkey" PRIMARY KEY ("nodeId", "bootId")
);

CREATE TABLE "PlatformWindow" (
  "id" UUID NOT NULL DEFAULT gen_random_uuid(),
  "component" TEXT NOT NULL,
  "fromAt" TIMESTAMPTZ(3) NOT NULL,
  "toAt" TIMESTAMPTZ(3) NOT NULL,
  CONSTRAINT "PlatformWindow_pkey" PRIMARY KEY ("id")
);
CREATE INDEX "PlatformWindow_component_fromAt_idx" ON "PlatformWindow" ("component", "fromAt" DESC);

-- Money ---------------------------------------------------------------------------------------------------------------

CREATE TABLE "LedgerAccount" (
  "id" BIGSERIAL NOT NULL,
  "userId" UUID NOT NULL REFERENCES "User" ("id"),
  "kind" "LedgerAccountKind" NOT NULL,
  "shard" INTEGER NOT NULL DEFAULT 0,
  "balance" NUMERIC(20,6) NOT NULL DEFAULT 0,
  CONSTRAINT "LedgerAccount_pkey" PRIMARY KEY ("id"),
  CONSTRAINT "LedgerAccount_balance_check" CHECK ("balance" >= 0 OR "kind" NOT IN ('renter_available', 'renter_held', 'host_pending', 'host_payable'))
);
CREATE UNIQUE INDEX "LedgerAccount_userId_kind_shard_key" ON "LedgerAccount" ("userId", "kind", "shard");

CREATE TABLE "LedgerEntry" (
  "id" UUID NOT NULL DEFAULT gen_random_uuid(),
  "idempotencyKey" TEXT NOT NULL,
  "inputHash" TEXT NOT NULL,
  "kind" TEXT NOT NULL,
  "reason" TEXT,
  "referenceId" TEXT,
  "createdById" UUID REFERENCES "User" ("id"),
  "createdAt" TIMESTAMPTZ(3) NOT NULL DEFAULT now(),
  CONSTRAINT "LedgerEntry_pkey" PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "LedgerEntry_idempotencyKey_key" ON "LedgerEntry" ("idempotencyKey");
CREATE INDEX "LedgerEntry_referenceId_idx" ON "LedgerEntry" ("referenceId");

CREATE TABLE "Transaction" (
  "id" UUID NOT NULL DEFAULT gen_random_uuid(),
  "userId" UUID NOT NULL REFERENCES "User" ("id"),
  "ledgerAccountId" BIGINT NOT NULL REFERENCES "LedgerAccount" ("id"),
  "entryId" UUID NOT NULL REFERENCES "LedgerEntry" ("id"),
  "amount" NUMERIC(20,6) NOT NULL,
  "type" "TransactionType" NOT NULL,
  "referenceId" TEXT,
  "seq" BIGSERIAL NOT NULL,
  "createdAt" TIMESTAMPTZ(3) NOT NULL DEFAULT now(),
  CONSTRAINT "Transaction_pkey" PRIMARY KEY ("id"),
  CONSTRAINT "Transaction_amount_check" CHECK ("amount" > 0)
);
CREATE UNIQUE INDEX "Transaction_seq_key" ON "Transaction" ("seq");
CREATE INDEX "Transaction_userId_seq_idx" ON "Transaction" ("userId", "seq" DESC);
CREATE INDEX "Transaction_entryId_idx" ON "Transaction" ("entryId");
CREATE INDEX "Transaction_ledgerAccountId_idx" ON "Transaction" ("ledgerAccountId");
CREATE INDEX "Transaction_referenceId_idx" ON "Transaction" ("referenceId");

-- The part of its renter's renter_held that belongs to one rental.
CREATE TABLE "Hold" (
  "rentalId" UUID NOT NULL REFERENCES "Rental" ("id"),
  "amount" NUMERIC(20,6) NOT NULL,
  "moves" INTEGER NOT NULL DEFAULT 0,
  "updatedAt" TIMESTAMPTZ(3) NOT NULL DEFAULT now(),
  "releasedAt" TIMESTAMPTZ(3),
  CONSTRAINT "Hold_pkey" PRIMARY KEY ("rentalId"),
  CONSTRAINT "Hold_amount_check" CHECK ("amount" >= 0)
);

-- Requests, events, audit ---------------------------------------------------------------------------------------------

CREATE TABLE "IdempotencyKey" (
  "id" UUID NOT NULL DEFAULT gen_random_uuid(),
  "userId" UUID NOT NULL REFERENCES "User" ("id") ON DELETE CASCADE,
  "route" TEXT NOT NULL,
  "key" TEXT NOT NULL,
  "requestHash" TEXT NOT NULL,
  "status" INTEGER NOT NULL,
  "responseSecretId" UUID REFERENCES "Secret" ("id"),
  "response" JSONB,
  "createdAt" TIMESTAMPTZ(3) NOT NULL DEFAULT now(),
  "expiresAt" TIMESTAMPTZ(3) NOT NULL,
  CONSTRAINT "IdempotencyKey_pkey" PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "IdempotencyKey_userId_route_key_key" ON "IdempotencyKey" ("userId", "route", "key");
CREATE INDEX "IdempotencyKey_expiresAt_idx" ON "IdempotencyKey" ("expiresAt");

-- Read below pg_snapshot_xmin and ordered by (xid, id), so that a reader never skips an event of a late commit.
CREATE TABLE "OutboxEvent" (
  "id" BIGSERIAL NOT NULL,
  "xid" XID8 NOT NULL DEFAULT pg_current_xact_id(),
  "accountId" UUID NOT NULL,
  "type" TEXT NOT NULL,
  "subjectId" TEXT NOT NULL,
  "data" JSONB NOT NULL,
  "createdAt" TIMESTAMPTZ(3) NOT NULL DEFAULT now(),
  CONSTRAINT "OutboxEvent_pkey" PRIMARY KEY ("id")
);
CREATE INDEX "OutboxEvent_xid_id_idx" ON "OutboxEvent" ("xid", "id");
CREATE INDEX "OutboxEvent_accountId_xid_id_idx" ON "OutboxEvent" ("accountId", "xid", "id");

CREATE TABLE "AuditRow" (
  "id" BIGSERIAL NOT NULL,
  "actorId" UUID,
  "accountId" UUID,
  "action" TEXT NOT NULL,
  "subjectType" TEXT NOT NULL,
  "subjectId" TEXT NOT NULL,
  "data" JSONB NOT NULL DEFAULT '{}',
  "ip" TEXT,
  "createdAt" TIMESTAMPTZ(3) NOT NULL DEFAULT now(),
  CONSTRAINT "AuditRow_pkey" PRIMARY KEY ("id")
);
CREATE INDEX "AuditRow_accountId_id_idx" ON "AuditRow" ("accountId", "id");
CREATE INDEX "AuditRow_subject_idx" ON "AuditRow" ("subjectType", "subjectId");

-- The ledger's own rules ----------------------------------------------------------------------------------------------

-- I1: the sides of every entry are equal when its transaction commits.
CREATE FUNCTION ledger_entry_is_balanced() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  difference numeric;
BEGIN
  SELECT coalesce(sum(CASE t."type" WHEN 'CREDIT' THEN t."amount" ELSE -t."amount" END), 0)
    INTO difference FROM "Transaction" t WHERE t."entryId" = NEW."entryId";
  IF difference <> 0 THEN
    RAISE EXCEPTION 'ledger entry % is not balanced: credits exceed debits by %', NEW."entryId", difference
      USING ERRCODE = 'check_violation', CONSTRAINT = 'Transaction_entry_balanced';
  END IF;
  RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER "Transaction_entry_balanced" AFTER INSERT ON "Transaction"
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ledger_entry_is_balanced();

-- I5: rows only grow, for every role.
CREATE FUNCTION ledger_rows_never_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'rows of % are never changed or removed; post a reversal', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER "Transaction_immutable" BEFORE UPDATE OR DELETE ON "Transaction" FOR EACH ROW EXECUTE FUNCTION ledger_rows_never_change();
CREATE TRIGGER "LedgerEntry_immutable" BEFORE UPDATE OR DELETE ON "LedgerEntry" FOR EACH ROW EXECUTE FUNCTION ledger_rows_never_change();

-- Posts many balanced entries at once: the only way by which the application writes the ledger.
--   p_entries: [{"idempotencyKey", "inputHash", "kind", "reason", "referenceId", "createdById",
--                "postings": [{"userId", "kind", "shard", "type", "amount"}]}]
-- An entry whose key is known with the same hash is left out; with another hash all fail with 'ledger.idempotency_conflict'.
-- Accounts are locked in id order, so that two batches never wait for each other.
CREATE TYPE ledger_posting AS (
  "entryId" uuid, "referenceId" text, "userId" uuid, "kind" "LedgerAccountKind", "shard" int, "type" "TransactionType", "amount" numeric(20,6)
);
CREATE FUNCTION ledger_post_batch(p_entries jsonb)
RETURNS TABLE ("idempotencyKey" text, "entryId" uuid, "created" boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
#variable_conflict use_column
DECLARE
  conflict text;
  new_ids uuid[];
  postings ledger_posting[];
BEGIN
  -- Entries first: the unique key makes a concurrent duplicate wait here, before it holds any account.
  WITH input AS (
    SELECT DISTINCT ON (e->>'idempotencyKey') e FROM jsonb_array_elements(p_entries) AS e ORDER BY e->>'idempotencyKey'
  ), inserted AS (
    INSERT INTO "LedgerEntry" ("idempotencyKey", "inputHash", "kind", "reason", "referenceId", "createdById")
    SELECT e->>'idempotencyKey', e->>'inputHash', e->>'kind', e->>'reason', e->>'referenceId', (e->>'createdById')::uuid
      FROM input ORDER BY e->>'idempotencyKey'
    ON CONFLICT ("idempotencyKey") DO NOTHING
    RETURNING "id"
  )
  SELECT coalesce(array_agg("id"), '{}') INTO new_ids FROM inserted;

  SELECT le."idempotencyKey" INTO conflict
    FROM jsonb_array_elements(p_entries) AS e JOIN "LedgerEntry" le ON le."idempotencyKey" = e->>'idempotencyKey'
   WHERE le."inputHash" <> e->>'inputHash' LIMIT 1;
  IF conflict IS NOT NULL THEN
    RAISE EXCEPTION 'ledger.idempotency_conflict: % was posted before with other content', conflict USING ERRCODE = 'P0001';
  END IF;

  SELECT coalesce(array_agg(ROW(le."id", le."referenceId", (p->>'userId')::uuid, (p->>'kind')::"LedgerAccountKind",
                                coalesce((p->>'shard')::int, 0), (p->>'type')::"TransactionType", (p->>'amount')::numeric(20,6))::ledger_posting), '{}')
    INTO postings
    FROM jsonb_array_elements(p_entries) AS e
    JOIN "LedgerEntry" le ON le."idempotencyKey" = e->>'idempotencyKey' AND le."id" = ANY (new_ids)
    CROSS JOIN jsonb_array_elements(e->'postings') AS p;

  INSERT INTO "LedgerAccount" ("userId", "kind", "shard")
  SELECT DISTINCT i."userId", i."kind", i."shard" FROM unnest(postings) AS i
   WHERE NOT EXISTS (SELECT FROM "LedgerAccount" a WHERE a."userId" = i."userId" AND a."kind" = i."kind" AND a."shard" = i."shard")
   ORDER BY 1, 2, 3
  ON CONFLICT ("userId", "kind", "shard") DO NOTHING;

  PERFORM a."id" FROM "LedgerAccount" a
   WHERE (a."userId", a."kind", a."shard") IN (SELECT i."userId", i."kind", i."shard" FROM unnest(postings) AS i)
   ORDER BY a."id" FOR UPDATE;

  INSERT INTO "Transaction" ("userId", "ledgerAccountId", "entryId", "amount", "type", "referenceId")
  SELECT i."userId", a."id", i."entryId", i."amount", i."type", i."referenceId"
    FROM unnest(postings) AS i
    JOIN "LedgerAccount" a ON a."userId" = i."userId" AND a."kind" = i."kind" AND a."shard" = i."shard";

  WITH change AS (
    SELECT i."userId", i."kind", i."shard", sum(CASE i."type" WHEN 'CREDIT' THEN i."amount" ELSE -i."amount" END) AS amount
      FROM unnest(postings) AS i GROUP BY 1, 2, 3
  ), updated AS (
    UPDATE "LedgerAccount" a SET "balance" = a."balance" + c.amount
      FROM change c WHERE a."userId" = c."userId" AND a."kind" = c."kind" AND a."shard" = c."shard"
    RETURNING a."userId", a."kind", a."balance"
  )
  UPDATE "User" u SET "balance" = d."balance"
    FROM updated d WHERE d."kind" = 'renter_available' AND u."id" = d."userId";

  RETURN QUERY
  SELECT le."idempotencyKey", le."id", le."id" = ANY (new_ids)
    FROM jsonb_array_elements(p_entries) AS e JOIN "LedgerEntry" le ON le."idempotencyKey" = e->>'idempotencyKey';
END $$;

-- Posts one balanced entry and returns its id (also when it was posted before with the same content).
CREATE FUNCTION ledger_post(p_idempotency_key text, p_input_hash text, p_kind text, p_reason text, p_reference_id text, p_created_by uuid, p_postings jsonb)
RETURNS uuid LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
  SELECT "entryId" FROM ledger_post_batch(jsonb_build_array(jsonb_build_object(
    'idempotencyKey', p_idempotency_key, 'inputHash', p_input_hash, 'kind', p_kind, 'reason', p_reason,
    'referenceId', p_reference_id, 'createdById', p_created_by, 'postings', p_postings)));
$$;

-- The reserved account that platform and clearing ledger accounts belong to.
INSERT INTO "User" ("id", "clerkId", "email", "displayName", "isSystem")
VALUES ('00000000-0000-4000-8000-000000000001', 'system', 'platform@system.invalid', 'Platform', true);

-- Rights --------------------------------------------------------------------------------------------------------------

DO $$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'dcompute_app') THEN CREATE ROLE dcompute_app NOLOGIN; END IF;
END $$;
GRANT USAGE ON SCHEMA public TO dcompute_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO dcompute_app;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO dcompute_app;
-- The ledger is written by its functions only; events and audit rows only grow.
REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON "LedgerAccount", "LedgerEntry", "Transaction" FROM dcompute_app;
REVOKE UPDATE, DELETE, TRUNCATE ON "RentalEvent", "AuditRow", "UsageSegment" FROM dcompute_app;
REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON "RentalRun" FROM dcompute_app;
REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON "User" FROM dcompute_app;
GRANT INSERT ("id", "clerkId", "email", "displayName", "kind", "role", "isOperator"),
      UPDATE ("clerkId", "email", "displayName", "kind", "role", "isOperator", "disabledAt") ON "User" TO dcompute_app;
REVOKE ALL ON FUNCTION ledger_post_batch(jsonb), ledger_post(text, text, text, text, text, uuid, jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ledger_post_batch(jsonb), ledger_post(text, text, text, text, text, uuid, jsonb) TO dcompute_app;
