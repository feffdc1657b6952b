# The role that the collector works with, for each form of credentials. What it may do is what
# `python -m flows policy --format terraform` prints for a configuration; `statements` takes the same by hand.

terraform {
  required_version = ">= 1.3"
  required_providers {
    aws = { source = "hashicorp/aws", version = ">= 5.0" }
  }
}

variable "name" {
  type        = string
  default     = "devo-aws-collector"
  description = "Name of the role"
}

variable "trusted_principals" {
  type        = list(string)
  default     = []
  description = "ARNs that may assume the role; the base role's for a target role, the machine's or user's else"
}

variable "trusted_service" {
  type        = string
  default     = null
  description = "For the machine's own role: ec2.amazonaws.com, ecs-tasks.amazonaws.com, pods.eks.amazonaws.com"
}

variable "oidc_provider_arn" {
  type        = string
  default     = null
  description = "For a pod's role by IRSA: the provider of its EKS cluster"
}

variable "service_account" {
  type        = string
  default     = ""
  description = "For a pod's role by IRSA: NAMESPACE:NAME"
}

variable "external_id" {
  type        = string
  default     = null
  sensitive   = true
  description = "The assume_role_external_id of the configuration (target role)"
}

variable "target_role_arns" {
  type        = list(string)
  default     = []
  description = "Roles that this one may assume; the base role of a chain needs nothing else"
}

variable "queue_arns" {
  type        = list(string)
  default     = []
  description = "queue_arn of the other modules"
}

variable "object_arns" {
  type        = list(string)
  default     = []
  description = "object_arn of the other modules"
}

variable "kms_key_arns" {
  type        = list(string)
  default     = []
  description = "Keys of objects and queues"
}

variable "apis" {
  type        = set(string)
  default     = []
  description = "Any of cloudtrail, logs, metrics, guardduty"
  validation {
    condition     = length(setsubtract(var.apis, ["cloudtrail", "logs", "metrics", "guardduty"])) == 0
    error_message = "apis holds cloudtrail, logs, metrics, guardduty."
  }
}

data "aws_caller_identity" "here" {}
data "aws_partition" "here" {}

locals {
  provider_url = var.oidc_provider_arn == null ? "" : split(":oidc-provider/", var.oidc_provider_arn)[1]
  trust = var.oidc_provider_arn != null ? {
    type        = "Federated"
    identifiers = [var.oidc_provider_arn]
    actions     = ["sts:AssumeRoleWithWebIdentity"]
    } : var.trusted_service != null ? {
    type        = "Service"
    identifiers = [var.trusted_service]
    actions     = concat(["sts:AssumeRole"], var.trusted_service == "pods.eks.amazonaws.com" ? ["sts:TagSession"] : [])
    } : {
    type        = "AWS"
    identifiers = var.trusted_principals
    actions     = ["sts:AssumeRole"]
  }
  equal = merge(
    var.external_id == null ? {} : { "sts:ExternalId" = var.external_id },
    var.oidc_provider_arn == null ? {} : {
      "${local.provider_url}:sub" = "system:serviceaccount:${var.service_account}"
      "${local.provider_url}:aud" = "sts.${data.aws_partition.here.dns_suffix}"
    },
  )
  groups = "arn:${data.aws_partition.here.partition}:logs:*:${data.aws_caller_identity.here.account_id}:log-group:*"
  queue_actions = [
    "sqs:GetQueueUrl",
    "sqs:GetQueueAttributes",
    "sqs:ReceiveMessage",
    "sqs:DeleteMessage",
    "sqs:ChangeMessageVisibility",
  ]
  api_actions = {
    cloudtrail = { actions = ["cloudtrail:LookupEvents"], resources = ["*"] }
    logs       = { actions = ["logs:DescribeLogGroups", "logs:FilterLogEvents"], resources = [local.groups] }
    metrics = {
      actions   = ["cloudwatch:ListMetrics", "cloudwatch:GetMetricData", "cloudwatch:GetMetricStatistics"]
      resources = ["*"]
    }
    guardduty = {
      actions   = ["guardduty:ListDetectors", "guardduty:ListFindings", "guardduty:GetFindings"]
      resources = ["*"]
    }
  }
  wanted = concat(
    [
      { actions = ["sts:AssumeRole"], resources = var.target_role_arns },
      { actions = local.queue_actions, resources = var.queue_arns },
      { actions = ["s3:GetObject", "s3:GetObjectVersion"], resources = var.object_arns },
      { actions = ["kms:Decrypt"], resources = var.kms_key_arns },
    ],
    [for api in var.apis : local.api_actions[api]],
    # what infrequent_access asks besides; AWS checks no group for results
    [for api in var.apis : { actions = ["logs:StartQuery", "logs:GetQueryResults"], resources = ["*"] } if api == "logs"],
  )
}

data "aws_iam_policy_document" "trust" {
  statement {
    actions = local.trust.actions
    principals {
      type        = local.trust.type
      identifiers = local.trust.identifiers
    }
    dynamic "condition" {
      for_each = nonsensitive(keys(local.equal))
      content {
        test     = "StringEquals"
        variable = condition.value
        values   = [local.equal[condition.value]]
      }
    }
  }
}

data "aws_iam_policy_document" "permissions" {
  dynamic "statement" {
    for_each = [for one in local.wanted : one if length(one.resources) > 0]
    content {
      actions   = statement.value.actions
      resources = statement.value.resources
    }
  }
}

resource "aws_iam_role" "this" {
  name                 = var.name
  description          = "The Devo collector"
  max_session_duration = 3600
  assume_role_policy   = data.aws_iam_policy_document.trust.json
}

resource "aws_iam_instance_profile" "this" {
  count = var.trusted_service == "ec2.amazonaws.com" ? 1 : 0
  name  = var.name
  role  = aws_iam_role.this.name
}

resource "aws_iam_role_policy" "this" {
  name   = "collect"
  role   = aws_iam_role.this.id
  policy = data.aws_iam_policy_document.permissions.json
}

output "role_arn" {
  value       = aws_iam_role.this.arn
  description = "For base_assume_role or target_assume_role, or the machine's own"
}

output "instance_profile" {
  value       = one(aws_iam_instance_profile.this[*].name)
  description = "For the EC2 instance"
}
