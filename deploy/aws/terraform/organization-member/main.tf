# The role that the collector assumes in each account of an organization; for_each over accounts' providers, or
# a StackSet with the template beside it. What it may do is what `python -m flows policy --organization` prints.

terraform {
  required_version = ">= 1.3"
  required_providers {
    aws = { source = "hashicorp/aws", version = ">= 5.0" }
  }
}

variable "role_name" {
  type        = string
  default     = "devo-aws-collector"
  description = "The organization.role_name of the configuration"
}

variable "collector_principal" {
  type        = string
  description = "ARN of who assumes it, the last role or the user of the input's credentials"
}

variable "organization_id" {
  type        = string
  description = "The organization's id: nobody outside it may assume the role"
  validation {
    condition     = can(regex("^o-[a-z0-9]{10,32}$", var.organization_id))
    error_message = "organization_id looks like o-a1b2c3d4e5."
  }
}

variable "external_id" {
  type        = string
  sensitive   = true
  description = "The organization.external_id of the configuration"
}

variable "apis" {
  type        = set(string)
  default     = ["cloudtrail", "logs", "metrics", "guardduty"]
  description = "Any of cloudtrail, logs, metrics, guardduty"
  validation {
    condition     = length(setsubtract(var.apis, ["cloudtrail", "logs", "metrics", "guardduty"])) == 0
    error_message = "apis holds cloudtrail, logs, metrics, guardduty."
  }
}

data "aws_caller_identity" "here" {}
data "aws_partition" "here" {}

locals {
  groups = "arn:${data.aws_partition.here.partition}:logs:*:${data.aws_caller_identity.here.account_id}:log-group:*"
  api_actions = {
    cloudtrail = { actions = ["cloudtrail:LookupEvents"], resources = ["*"] }
    logs       = { actions = ["logs:DescribeLogGroups", "logs:FilterLogEvents"], resources = [local.groups] }
    metrics = {
      actions   = ["cloudwatch:ListMetrics", "cloudwatch:GetMetricData", "cloudwatch:GetMetricStatistics"]
      resources = ["*"]
    }
    guardduty = {
      actions = [
        "guardduty:ListDetectors",
        "guardduty:ListMembers",
        "guardduty:ListFindings",
        "guardduty:GetFindings",
      ]
      resources = ["*"]
    }
  }
  wanted = concat(
    [{ actions = ["account:ListRegions", "ec2:DescribeRegions"], resources = ["*"] }],
    [for api in var.apis : local.api_actions[api]],
    # what infrequent_access asks besides; AWS checks no group for results
    [for api in var.apis : { actions = ["logs:StartQuery", "logs:GetQueryResults"], resources = ["*"] } if api == "logs"],
  )
}

data "aws_iam_policy_document" "trust" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "AWS"
      identifiers = [var.collector_principal]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:PrincipalOrgID"
      values   = [var.organization_id]
    }
    condition {
      test     = "StringEquals"
      variable = "sts:ExternalId"
      values   = [var.external_id]
    }
  }
}

data "aws_iam_policy_document" "permissions" {
  dynamic "statement" {
    for_each = local.wanted
    content {
      actions   = statement.value.actions
      resources = statement.value.resources
    }
  }
}

resource "aws_iam_role" "this" {
  name                 = var.role_name
  description          = "The Devo collector"
  max_session_duration = 3600
  assume_role_policy   = data.aws_iam_policy_document.trust.json
}

resource "aws_iam_role_policy" "this" {
  name   = "collect"
  role   = aws_iam_role.this.id
  policy = data.aws_iam_policy_document.permissions.json
}

output "role_arn" {
  value       = aws_iam_role.this.arn
  description = "What the collector assumes in this account"
}
