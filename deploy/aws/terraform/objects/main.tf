# A queue in which a bucket announces new objects, for one S3 service of the collector, with its dead letter
# queue and an alarm on it. The bucket exists; how it announces is `announce`.

terraform {
  required_version = ">= 1.3"
  required_providers {
    aws = { source = "hashicorp/aws", version = ">= 5.0" }
  }
}

variable "name" {
  type        = string
  description = "Name of the queue"
}

variable "bucket" {
  type        = string
  description = "The bucket that the logs are written to"
}

variable "announce" {
  type        = string
  default     = "eventbridge"
  description = "eventbridge (its EventBridge notifications must be on) or notification (replaces the bucket's notifications)"
  validation {
    condition     = contains(["eventbridge", "notification"], var.announce)
    error_message = "announce is eventbridge or notification."
  }
}

variable "key_prefix" {
  type        = string
  default     = ""
  description = "Only objects whose keys begin so, e.g. AWSLogs/"
}

variable "visibility_timeout" {
  type        = number
  default     = 300
  description = "Seconds; the collector extends it at half time"
}

variable "max_receive_count" {
  type        = number
  default     = 20
  description = "Receives before a message goes to the dead letter queue; an outage of Devo counts too"
}

variable "kms_key_arn" {
  type        = string
  default     = null
  description = "Encrypts the queue with this key instead of SQS's own"
}

variable "alarm_topic_arns" {
  type        = list(string)
  default     = []
  description = "Are told when something comes to the dead letter queue"
}

data "aws_caller_identity" "here" {}
data "aws_partition" "here" {}
data "aws_region" "here" {}

locals {
  by_rule    = var.announce == "eventbridge"
  bucket_arn = "arn:${data.aws_partition.here.partition}:s3:::${var.bucket}"
}

resource "aws_sqs_queue" "dead_letters" {
  name                      = "${var.name}-dead-letters"
  message_retention_seconds = 1209600
  sqs_managed_sse_enabled   = var.kms_key_arn == null ? true : null
  kms_master_key_id         = var.kms_key_arn
}

resource "aws_sqs_queue" "this" {
  name                       = var.name
  message_retention_seconds  = 1209600
  visibility_timeout_seconds = var.visibility_timeout
  sqs_managed_sse_enabled    = var.kms_key_arn == null ? true : null
  kms_master_key_id          = var.kms_key_arn
  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.dead_letters.arn
    maxReceiveCount     = var.max_receive_count
  })
}

data "aws_iam_policy_document" "queue" {
  statement {
    sid       = "Announcements"
    actions   = ["sqs:SendMessage"]
    resources = [aws_sqs_queue.this.arn]
    principals {
      type        = "Service"
      identifiers = [local.by_rule ? "events.amazonaws.com" : "s3.amazonaws.com"]
    }
    condition {
      test     = "ArnLike"
      variable = "aws:SourceArn"
      values   = [local.by_rule ? aws_cloudwatch_event_rule.this[0].arn : local.bucket_arn]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [data.aws_caller_identity.here.account_id]
    }
  }
  statement {
    sid       = "OnlyOverTls"
    effect    = "Deny"
    actions   = ["sqs:*"]
    resources = [aws_sqs_queue.this.arn]
    principals {
      type        = "*"
      identifiers = ["*"]
    }
    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }
}

resource "aws_sqs_queue_policy" "this" {
  queue_url = aws_sqs_queue.this.url
  policy    = data.aws_iam_policy_document.queue.json
}

resource "aws_s3_bucket_notification" "this" {
  count  = local.by_rule ? 0 : 1
  bucket = var.bucket
  queue {
    queue_arn     = aws_sqs_queue.this.arn
    events        = ["s3:ObjectCreated:*"]
    filter_prefix = var.key_prefix
  }
  depends_on = [aws_sqs_queue_policy.this]
}

resource "aws_cloudwatch_event_rule" "this" {
  count       = local.by_rule ? 1 : 0
  name        = var.name
  description = "New objects for the Devo collector"
  event_pattern = jsonencode({
    source      = ["aws.s3"]
    detail-type = ["Object Created"]
    detail = merge(
      { bucket = { name = [var.bucket] } },
      var.key_prefix == "" ? {} : { object = { key = [{ prefix = var.key_prefix }] } },
    )
  })
}

resource "aws_cloudwatch_event_target" "this" {
  count = local.by_rule ? 1 : 0
  rule  = aws_cloudwatch_event_rule.this[0].name
  arn   = aws_sqs_queue.this.arn
}

resource "aws_cloudwatch_metric_alarm" "dead_letters" {
  alarm_name          = "${var.name}-dead-letters"
  alarm_description   = "An object's notice could not be collected; flows check and the quarantine say why"
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateNumberOfMessagesVisible"
  dimensions          = { QueueName = aws_sqs_queue.dead_letters.name }
  statistic           = "Maximum"
  period              = 300
  evaluation_periods  = 1
  threshold           = 0
  comparison_operator = "GreaterThanThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_topic_arns
}

output "queue_name" {
  value       = aws_sqs_queue.this.name
  description = "For the service's queue key"
}

output "queue_arn" {
  value       = aws_sqs_queue.this.arn
  description = "For the roles module"
}

output "queue_url" {
  value       = aws_sqs_queue.this.url
  description = "For queue_url, where the queue is another account's"
}

output "object_arn" {
  value       = "${local.bucket_arn}/${var.key_prefix}*"
  description = "For the roles module"
}

output "region" {
  value       = data.aws_region.here.name
  description = "For the service's regions"
}
