# A queue that one kind of sender may fill, over TLS only, with its dead letter queue and an alarm on it: what
# `events` and `objects` have in common.

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

variable "sender" {
  type        = string
  description = "Service that may send, e.g. events.amazonaws.com"
}

variable "sender_arn" {
  type        = string
  description = "The rule or bucket on whose behalf it may"
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
    sid       = "Sender"
    actions   = ["sqs:SendMessage"]
    resources = [aws_sqs_queue.this.arn]
    principals {
      type        = "Service"
      identifiers = [var.sender]
    }
    condition {
      test     = "ArnLike"
      variable = "aws:SourceArn"
      values   = [var.sender_arn]
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

resource "aws_cloudwatch_metric_alarm" "dead_letters" {
  alarm_name          = "${var.name}-dead-letters"
  alarm_description   = "Something could not be collected; flows check and the quarantine say why"
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

output "name" {
  value       = aws_sqs_queue.this.name
  description = "The queue's name"
}

output "arn" {
  value       = aws_sqs_queue.this.arn
  description = "The queue's ARN, once its policy stands"
  depends_on  = [aws_sqs_queue_policy.this]
}

output "url" {
  value       = aws_sqs_queue.this.url
  description = "The queue's URL"
}
